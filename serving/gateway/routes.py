"""What the gateway lets through, and how: everything else ends in its last route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from serving.gateway.config import GatewayConfig
from serving.gateway.filters import ANYTHING, MODEL_SPEC, REQUEST, max_body_bytes, route_script, without_token
from serving.gateway.lanes import by_customer
from serving.gateway.messages import Message
from serving.gateway.table import RoutingTable

STABLE = "stable"
REST_CLUSTER = "model_rest"
GRPC_CLUSTER = "model_grpc"
#: The node's own page, and the same socket as the place where copies of requests are recorded, and as the page's
#: description: each with limits of its own, so that neither takes a place that an answer needs.
PAGE_CLUSTER = "node_page"
TAP_CLUSTER = "node_taps"
DOCS_CLUSTER = "node_docs"
REQUEST_SECONDS = 30

#: Only what never reached the model server. A request that broke off on its way may be what killed it.
_NOT_STARTED = "connect-failure,refused-stream,reset-before-request"
#: What a gRPC server that is ending says to new calls. Not UNAVAILABLE: so a model server says that its queue is full.
_TURNED_AWAY = "cancelled"

_NAME = r"/v1/models/[A-Za-z0-9._-]+"
_CHOSEN = r"/(?:versions/[0-9]+|labels/[A-Za-z0-9._-]+)"
_VERBS = "predict|classify|regress"
_UNLABELLED = (r"^(/v1/models/[^/:]+)/labels/stable(:|/metadata|$)", r"\1\2")
#: Simpler than the rule for ids, which the page applies: Envoy refuses large patterns.
_ID = "[a-z0-9-]+"

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"

#: The label that answered, where the gateway chose it; the script leaves it there.
_LABEL_HEADER = {"key": "x-roost-label", "value": f"%DYNAMIC_METADATA({REQUEST}:label)%"}
#: The script says in it where a copy goes, if one does.
_MIRROR_HEADER = "x-roost-mirror"
#: A candidate's gateway asks for the token again; the model server behind this one never sees it.
_TOKEN = {"key": "authorization", "value": "%DYNAMIC_METADATA(roost.copy:authorization)%"}
_COPY: Message = {
    "cluster_header": _MIRROR_HEADER,
    "request_headers_mutations": [
        {"append": {"header": _TOKEN, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
        {"remove": _MIRROR_HEADER},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One way to the model server. `told` is for `model_spec.lua`, which says what is in it; none: no script runs."""

    match: Message
    cluster: str
    retry_on: str
    told: Mapping[str, object] = field(default_factory=dict)
    #: A path that matches the pattern becomes the substitution.
    rewrite: tuple[str, str] | None = None
    #: Of a prediction that may be shared out between labels, and mirrored.
    prediction: bool = False
    #: Whether it may be recorded for the canary.
    recorded: bool = False
    #: Answered without a token, to whoever may connect: of no customer, and the same for everybody.
    public: bool = False

    def message(self, config: GatewayConfig, table: RoutingTable) -> Message:
        """Envoy's form of it."""
        route: Message = {
            "match": self.match,
            "route": self._action(config, table),
        }
        if self.told:
            route["typed_per_filter_config"] = self._script(config, table)
        if self.public and config.asks_for_tokens:
            route["typed_per_filter_config"] = without_token()
        return route | ({"response_headers_to_add": [{"header": _LABEL_HEADER}]} if self.prediction else {})

    def _script(self, config: GatewayConfig, table: RoutingTable) -> Message:
        told: Message = {**self.told, "tokens": config.asks_for_tokens}
        if ANYTHING not in config.settings.choices:
            told["choices"] = list(config.settings.choices)
        files = (*MODEL_SPEC, "candidates.lua") if config.candidates else MODEL_SPEC
        chooses = self.prediction and not table.empty
        return route_script(told, *files, names=table.entries(str(self.told["api"])) if chooses else None)

    def _action(self, config: GatewayConfig, table: RoutingTable) -> Message:
        retries: Message = {
            "retry_on": self.retry_on,
            # About two seconds in all: a model server that is replaced is back by then, or the caller is told.
            "num_retries": 6,
            "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
        }
        action: Message = {"cluster": self.cluster, "timeout": f"{REQUEST_SECONDS}s", "retry_policy": retries}
        if self.cluster in {REST_CLUSTER, GRPC_CLUSTER}:
            action |= by_customer(config.settings)
        if self.rewrite:
            pattern, substitution = self.rewrite
            action["regex_rewrite"] = {"pattern": {"regex": pattern}, "substitution": substitution}
        copies: list[Message] = [_COPY] if self.prediction and table.mirrors else []
        if self.recorded and table.recorded > 0:
            copies.append(_tap(table.recorded))
        return action | ({"request_mirror_policies": copies} if copies else {})


def rest_routes(config: GatewayConfig, table: RoutingTable) -> Message:
    """TensorFlow Serving's REST paths; those that choose no version are rewritten to the stable label."""
    routes = [
        _rest(
            "POST",
            f"{_NAME}:(?:{_VERBS})",
            label=STABLE,
            rewrite=(f"^(/v1/models/[^/:]+):({_VERBS})$", rf"\1/labels/{STABLE}:\2"),
            recorded=True,
        ),
        _rest("POST", f"{_NAME}{_CHOSEN}:(?:{_VERBS})"),
        _rest("GET", f"{_NAME}/metadata", rewrite=("^(/v1/models/[^/:]+)/metadata$", rf"\1/labels/{STABLE}/metadata")),
        _rest("GET", f"{_NAME}(?:{_CHOSEN})?(?:/metadata)?"),
        *(_page_routes() if config.page_socket else []),
    ]
    if config.candidates:
        routes = [_candidate(each) for each in routes]
    refusal = _refusal("the gateway does not answer this path: POST /v1/models/NAME:predict is one that it does")
    return _host(config, "rest", [*(each.message(config, table) for each in routes), refusal])


def grpc_routes(config: GatewayConfig, table: RoutingTable) -> Message:
    """The prediction services and the status; above all not the reload, which shares the model server's port."""
    routes = [
        _grpc(f"{_PREDICTION}/Predict", prediction=True, recorded=True),
        _grpc(f"{_PREDICTION}/Classify", prediction=True),
        _grpc(f"{_PREDICTION}/Regress", prediction=True),
        _grpc(f"{_PREDICTION}/GetModelMetadata"),
        _grpc(f"{_PREDICTION}/MultiInference", spec="tasks", prediction=True),
        # Without a version it is the list of all versions.
        _grpc(f"{_MODEL}/GetModelStatus", label=None),
    ]
    if config.candidates:
        routes = [_candidate(each) for each in routes]
    refusal = _refusal("the gateway does not offer this method")
    return _host(config, "grpc", [*(each.message(config, table) for each in routes), refusal])


def _candidate(route: _Route) -> _Route:
    """The route in a pool without labels: without a version the only one answers, and so it does for the stable one."""
    told = {key: value for key, value in route.told.items() if key != "label"}
    rewrite = _UNLABELLED if route.cluster == REST_CLUSTER else None
    return replace(route, told=told, rewrite=rewrite, prediction=False)


def _page_routes() -> list[_Route]:
    """The node's own page, and its description, which is of no customer."""
    asked = f"/v1/customers/{_ID}/models/{_ID}(?:{_CHOSEN})?:predict"
    described = r"/v1/(?:docs|openapi\.json|docs-assets/[A-Za-z0-9._-]+)"
    return [
        _Route(match=_path("POST", asked), cluster=PAGE_CLUSTER, retry_on=_NOT_STARTED, told={"api": "rest"}),
        _Route(match=_path("GET", described), cluster=DOCS_CLUSTER, retry_on=_NOT_STARTED, public=True),
    ]


def _tap(rate: float) -> Message:
    share = {"numerator": round(rate * 1_000_000), "denominator": "MILLION"}
    return {"cluster": TAP_CLUSTER, "runtime_fraction": {"default_value": share, "runtime_key": "roost.taps"}}


def _path(method: str, pattern: str) -> Message:
    methods = [{"name": ":method", "string_match": {"exact": method}}]
    return {"safe_regex": {"regex": pattern}, "headers": methods}


def _rest(
    method: str,
    path: str,
    *,
    label: str | None = None,
    rewrite: tuple[str, str] | None = None,
    recorded: bool = False,
) -> _Route:
    return _Route(
        match=_path(method, path),
        cluster=REST_CLUSTER,
        retry_on=_NOT_STARTED,
        told={"api": "rest"} | ({"label": label} if label else {}),
        rewrite=rewrite,
        prediction=label is not None,
        recorded=recorded,
    )


def _grpc(
    path: str,
    *,
    spec: str = "message",
    label: str | None = STABLE,
    prediction: bool = False,
    recorded: bool = False,
) -> _Route:
    return _Route(
        match={"path": path, "grpc": {}},
        cluster=GRPC_CLUSTER,
        retry_on=f"{_NOT_STARTED},{_TURNED_AWAY}",
        told={"api": "grpc", "spec": spec} | ({"label": label} if label else {}),
        prediction=prediction,
        recorded=recorded,
    )


def _refusal(text: str) -> Message:
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": text}}}


def _host(config: GatewayConfig, name: str, routes: list[Message]) -> Message:
    # What may be kept for a retry: whatever the body limit lets in.
    kept = {"request_body_buffer_limit": max_body_bytes(config.settings)}
    host = {"name": name, "domains": ["*"], "routes": routes, **kept}
    if config.asks_for_tokens:
        # No model server sees a token. The page and the recorder of copies behind other routes do not either.
        host["request_headers_to_remove"] = ["authorization"]
    return {"name": name, "virtual_hosts": [host]}
