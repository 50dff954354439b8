"""The filters that a request passes, in their order: who asks, for what, how much."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from roost.settings import GatewaySettings, TokenIssuer
from serving.gateway.config import issuers
from serving.gateway.keys import source
from serving.gateway.lua_text import filled, literal
from serving.gateway.messages import Message, typed

#: Where the verified token's content is kept for the filters and the access log behind it.
JWT_FILTER = "envoy.filters.http.jwt_authn"
CLAIMS = "claims"
#: Where `model_spec.lua` leaves what it read.
REQUEST = "roost"
ANYTHING = "*"
LUA_FILTER = "envoy.filters.http.lua"

#: The script of a node's gateway.
MODEL_SPEC = ("routing.lua", "protobuf.lua", "model_spec.lua")

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_GZIP = "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip"
_BY_HEADER = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
_MEBIBYTE = 1024 * 1024
#: Claims whose null `model_spec.lua` cannot tell from a token without them.
_LIMITING_CLAIMS = ("customers", "labels")
#: Who may set the headers by which Envoys speak to each other, its deadline and retries among them. An empty list would
#: be Envoy's own, the private networks, and a sender's address is never the broadcast's.
_NOBODY: Message = {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]}
#: The trace id in a traceparent header (W3C Trace Context); nothing of a header that is not one.
_TRACE_ID = r"^(?:..-([0-9a-f]{32})-.*|.*)$"


def max_body_bytes(settings: GatewaySettings) -> int:
    """Largest request body in bytes, after decompression."""
    return int(settings.max_body_mb * _MEBIBYTE)


def trace_id() -> Message:
    """Takes the trace id out of `traceparent` for the access log; the header itself goes on as it came."""
    found = {
        "metadata_namespace": REQUEST,
        "key": "trace_id",
        "regex_value_rewrite": {"pattern": {"regex": _TRACE_ID}, "substitution": r"\1"},
    }
    rules = [{"header": "traceparent", "on_header_present": found}]
    return http_filter("header_to_metadata", typed(f"{_HTTP}.header_to_metadata.v3.Config", {"request_rules": rules}))


def who_asks(settings: GatewaySettings) -> Message:
    """Who asks is who connects, unless that is a trusted proxy: then it is whom the proxy names in x-forwarded-for."""
    if not settings.trusted_proxies:
        return {"use_remote_address": True, "internal_address_config": _NOBODY}
    # From the right, over all proxies that are trusted: what stands left of the first stranger, they wrote themselves.
    trusted = {"cidrs": [cidr(network) for network in settings.trusted_proxies]}
    return {
        "use_remote_address": False,
        "internal_address_config": _NOBODY,
        "original_ip_detection_extensions": [
            {
                "name": "envoy.http.original_ip_detection.xff",
                "typed_config": typed(_BY_HEADER, {"xff_trusted_cidrs": trusted}),
            }
        ],
    }


def networks(settings: GatewaySettings) -> Message:
    """Refuses whoever does not ask from an allowed network: who connects, or whom a trusted proxy names."""
    ranges = [cidr(network) for network in settings.allow_cidrs]
    policy = {"permissions": [{"any": True}], "principals": [{"remote_ip": each} for each in ranges]}
    rules = {"action": "ALLOW", "policies": {"allowed networks": policy}}
    return http_filter("rbac", typed(f"{_HTTP}.rbac.v3.RBAC", {"rules": rules}))


def tokens(settings: GatewaySettings) -> Message:
    """Refuses requests without a sound token: signature, issuer, audience, times."""
    providers = {_provider_name(place): _provider(each, place) for place, each in enumerate(issuers(settings))}
    wanted: list[Message] = [{"provider_name": name} for name in providers]
    required = wanted[0] if len(wanted) == 1 else {"requires_any": {"requirements": wanted}}
    content = {"providers": providers, "rules": [{"match": {"prefix": "/"}, "requires": required}]}
    return http_filter("jwt_authn", typed(f"{_HTTP}.jwt_authn.v3.JwtAuthentication", content))


def without_token() -> Message:
    """Of a route that is answered to whoever has no token."""
    return {JWT_FILTER: typed(f"{_HTTP}.jwt_authn.v3.PerRouteConfig", {"disabled": True})}


def _provider_name(place: int) -> str:
    return f"issuer {place}"


def _provider(issuer: TokenIssuer, place: int) -> Message:
    return {
        "issuer": issuer.issuer,
        "audiences": [issuer.audience],
        "require_expiration": True,
        # Routes take it away before a model server sees it; a copy for a candidate's gateway takes it along.
        "forward": True,
        # Only the header: a token in a URL ends up in logs.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "payload_in_metadata": CLAIMS,
        # An RS256 check per request halves the rate that a gateway carries. So a token is checked once and remembered
        # until it expires, also when its key is withdrawn: whoever cannot wait for that starts the gateway anew.
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "clock_skew_seconds": 30,
        "remote_jwks": source(issuer, place),
    }


def no_null_claim() -> Message:
    """Refuses a token that says null where it could say a limit: it is broken, and would be taken for unlimited."""
    policies: Message = {f"null {claim}": _null(claim) for claim in _LIMITING_CLAIMS}
    return http_filter("rbac", typed(f"{_HTTP}.rbac.v3.RBAC", {"rules": {"action": "DENY", "policies": policies}}))


def _null(claim: str) -> Message:
    path = [{"key": CLAIMS}, {"key": claim}]
    metadata = {"filter": JWT_FILTER, "path": path, "value": {"null_match": {}}}
    principal = {"sourced_metadata": {"metadata_matcher": metadata}}
    return {"permissions": [{"any": True}], "principals": [principal]}


def decompression() -> Message:
    """Unpacks gzip bodies, so that the size limit holds for what the model server would unpack."""
    # gzip never packs tighter than 1032 to 1. At Envoy's own limit of 100 a body is cut off and goes on, cut off.
    gzip = typed(_GZIP, {"max_inflate_ratio": 1032})
    off = {"common_config": {"enabled": {"default_value": False, "runtime_key": "roost.decompress_responses"}}}
    content = {
        "decompressor_library": {"name": "gzip", "typed_config": gzip},
        "request_direction_config": {"advertise_accept_encoding": False},
        "response_direction_config": off,
    }
    return http_filter("decompressor", typed(f"{_HTTP}.decompressor.v3.Decompressor", content))


def body_limit(settings: GatewaySettings) -> Message:
    """Takes the whole body before anything goes upstream; a larger one is refused."""
    return http_filter("buffer", typed(f"{_HTTP}.buffer.v3.Buffer", {"max_request_bytes": max_body_bytes(settings)}))


def script(*files: str) -> str:
    """Lua files of this room as one script, in which later ones use what earlier ones define."""
    room = resources.files("serving.gateway")
    return "\n".join(room.joinpath(file).read_text(encoding="utf-8") for file in files)


def lua(*, again: bool) -> Message:
    """Runs the script of a request's route, if it has one (`route_script`).

    `again`: once the script has changed a header, the route is chosen once more.
    """
    return http_filter("lua", typed(f"{_HTTP}.lua.v3.Lua", {"clear_route_cache": again}))


def route_script(told: Message, *files: str, names: Mapping[str, object] | None = None) -> Message:
    """These files as one route's script, as the configuration's own text: a sidecar needs no second file.

    `told` stands before them as ROUTE, and `names`, where there are some, as NAMES: a script finds both at once, while
    Envoy's own ways to tell it something cost each request 10 to 15 µs.
    """
    before = f"ROUTE = {literal(told)};\n" + (filled("NAMES", names) if names is not None else "")
    content = {"source_code": {"inline_string": before + script(*files)}}
    return {LUA_FILTER: typed(f"{_HTTP}.lua.v3.LuaPerRoute", content)}


def health(path: str) -> Message:
    """Answers `path` by itself: 200, or 503 once the gateway drains."""
    header = {"name": ":path", "string_match": {"exact": path}}
    content = {"pass_through_mode": False, "headers": [header]}
    return http_filter("health_check", typed(f"{_HTTP}.health_check.v3.HealthCheck", content))


def router() -> Message:
    """Sends the request on."""
    return http_filter("router", typed(f"{_HTTP}.router.v3.Router", {}))


def http_filter(name: str, config: Message) -> Message:
    """A filter of the request path by its short name."""
    return {"name": f"envoy.filters.http.{name}", "typed_config": config}


def cidr(network: str) -> Message:
    """A network as Envoy writes it."""
    address, _, bits = network.partition("/")
    return {"address_prefix": address, "prefix_len": int(bits or (128 if ":" in address else 32))}
