"""What the gateway lets through, and how: everything else ends in its last route."""

from __future__ import annotations

from serving.gateway.config import GatewayConfig
from serving.gateway.filters import max_body_bytes, model_spec_context
from serving.gateway.messages import Message

STABLE = "stable"
REST_CLUSTER = "model_rest"
GRPC_CLUSTER = "model_grpc"
REQUEST_SECONDS = 30

#: Only what never reached the model server. A request that broke off on its way may be what killed it.
_NOT_STARTED = "connect-failure,refused-stream,reset-before-request"
#: What a gRPC server that is ending says to new calls. Not UNAVAILABLE: so a model server says that its queue is full.
_TURNED_AWAY = "cancelled"

_NAME = r"/v1/models/[A-Za-z0-9._-]+"
_CHOSEN = r"/(?:versions/[0-9]+|labels/[A-Za-z0-9._-]+)"
_VERBS = "predict|classify|regress"

_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"
#: Method, where its ModelSpec is, and whether one without version and label means the stable version. The status
#: without a version is the list of all versions.
_METHODS = (
    (f"/{_PREDICTION}/Predict", "message", True),
    (f"/{_PREDICTION}/Classify", "message", True),
    (f"/{_PREDICTION}/Regress", "message", True),
    (f"/{_PREDICTION}/GetModelMetadata", "message", True),
    (f"/{_PREDICTION}/MultiInference", "tasks", True),
    (f"/{_MODEL}/GetModelStatus", "message", False),
)


def rest_routes(config: GatewayConfig) -> Message:
    """TensorFlow Serving's REST paths; those that choose no version are rewritten to the stable label."""
    routes = [
        _rest(
            config, "POST", f"{_NAME}:(?:{_VERBS})", (f"^(/v1/models/[^/:]+):({_VERBS})$", rf"\1/labels/{STABLE}:\2")
        ),
        _rest(config, "POST", f"{_NAME}{_CHOSEN}:(?:{_VERBS})"),
        _rest(config, "GET", f"{_NAME}/metadata", ("^(/v1/models/[^/:]+)/metadata$", rf"\1/labels/{STABLE}/metadata")),
        _rest(config, "GET", f"{_NAME}(?:{_CHOSEN})?(?:/metadata)?"),
        _refusal("the gateway does not answer this path: POST /v1/models/NAME:predict is one that it does"),
    ]
    return _host(config, "rest", routes)


def grpc_routes(config: GatewayConfig) -> Message:
    """The prediction services and the status; above all not the reload, which shares the model server's port."""
    routes = [_grpc(config, path, spec, label=STABLE if labelled else None) for path, spec, labelled in _METHODS]
    return _host(config, "grpc", [*routes, _refusal("the gateway does not offer this method")])


def _rest(config: GatewayConfig, method: str, path: str, rewrite: tuple[str, str] | None = None) -> Message:
    action = _action(REST_CLUSTER, _NOT_STARTED)
    if rewrite:
        action["regex_rewrite"] = {"pattern": {"regex": rewrite[0]}, "substitution": rewrite[1]}
    methods = [{"name": ":method", "string_match": {"exact": method}}]
    return {
        "match": {"safe_regex": {"regex": path}, "headers": methods},
        "route": action,
        "typed_per_filter_config": model_spec_context({"api": "rest", "tokens": config.asks_for_tokens}),
    }


def _grpc(config: GatewayConfig, path: str, spec: str, *, label: str | None) -> Message:
    context: Message = {"api": "grpc", "tokens": config.asks_for_tokens, "spec": spec}
    if label:
        context["label"] = label
    return {
        "match": {"path": path, "grpc": {}},
        "route": _action(GRPC_CLUSTER, f"{_NOT_STARTED},{_TURNED_AWAY}"),
        "typed_per_filter_config": model_spec_context(context),
    }


def _action(cluster: str, retry_on: str) -> Message:
    return {
        "cluster": cluster,
        "timeout": f"{REQUEST_SECONDS}s",
        "retry_policy": {
            "retry_on": retry_on,
            # About two seconds in all: a model server that is replaced is back by then, or the caller is told.
            "num_retries": 6,
            "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
        },
    }


def _refusal(text: str) -> Message:
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": text}}}


def _host(config: GatewayConfig, name: str, routes: list[Message]) -> Message:
    # What may be kept for a retry: whatever the body limit lets in.
    kept = {"request_body_buffer_limit": max_body_bytes(config.settings)}
    return {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes, **kept}]}
