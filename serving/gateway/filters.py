"""The filters that a request passes, in their order: who asks, how much, for what."""

from __future__ import annotations

from importlib import resources

from roost.settings import GatewaySettings
from serving.gateway.keys import source
from serving.gateway.messages import Message, typed

#: Where the verified token's content is kept for the filters and the access log behind it.
JWT_FILTER = "envoy.filters.http.jwt_authn"
CLAIMS = "claims"

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_GZIP = "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip"
_MEBIBYTE = 1024 * 1024


def max_body_bytes(settings: GatewaySettings) -> int:
    """Largest request body in bytes, after decompression."""
    return int(settings.max_body_mb * _MEBIBYTE)


def networks(settings: GatewaySettings) -> Message:
    """Refuses whoever does not connect from an allowed network. Headers that name another client do not count."""
    ranges = [_range(network) for network in settings.allow_cidrs]
    policy = {"permissions": [{"any": True}], "principals": [{"direct_remote_ip": each} for each in ranges]}
    rules = {"action": "ALLOW", "policies": {"allowed networks": policy}}
    return _filter("rbac", typed(f"{_HTTP}.rbac.v3.RBAC", {"rules": rules}))


def tokens(settings: GatewaySettings) -> Message:
    """Refuses requests without a sound token: signature, issuer, audience, expiry."""
    provider: Message = {
        "issuer": settings.issuer,
        "audiences": [settings.audience],
        "require_expiration": True,
        # Only the header: a token in a URL ends up in logs.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "payload_in_metadata": CLAIMS,
        # An RS256 check per request halves the rate that a gateway carries. So a token is checked once and remembered
        # until it expires, also when its key is withdrawn: whoever cannot wait for that starts the gateway anew.
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "clock_skew_seconds": 30,
        "remote_jwks": source(settings),
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "roost"}}]
    content = {"providers": {"roost": provider}, "rules": rules}
    return _filter("jwt_authn", typed(f"{_HTTP}.jwt_authn.v3.JwtAuthentication", content))


def no_null_binding() -> Message:
    """Refuses a token whose `customers` is null: `model_spec.lua` cannot tell it from a token without the claim."""
    path = [{"key": CLAIMS}, {"key": "customers"}]
    metadata = {"filter": JWT_FILTER, "path": path, "value": {"null_match": {}}}
    principal = {"sourced_metadata": {"metadata_matcher": metadata}}
    rules = {
        "action": "DENY",
        "policies": {"null binding": {"permissions": [{"any": True}], "principals": [principal]}},
    }
    return _filter("rbac", typed(f"{_HTTP}.rbac.v3.RBAC", {"rules": rules}))


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
    return _filter("decompressor", typed(f"{_HTTP}.decompressor.v3.Decompressor", content))


def body_limit(settings: GatewaySettings) -> Message:
    """Takes the whole body before anything goes upstream; a larger one is refused."""
    return _filter("buffer", typed(f"{_HTTP}.buffer.v3.Buffer", {"max_request_bytes": max_body_bytes(settings)}))


def model_spec() -> Message:
    """The Lua filter of `model_spec.lua`, as the configuration's own text: a sidecar needs no second file."""
    source = resources.files("serving.gateway").joinpath("model_spec.lua").read_text(encoding="utf-8")
    return _filter("lua", typed(f"{_HTTP}.lua.v3.Lua", {"default_source_code": {"inline_string": source}}))


def model_spec_context(context: Message) -> Message:
    """What `model_spec.lua` is told about a route."""
    return {"envoy.filters.http.lua": typed(f"{_HTTP}.lua.v3.LuaPerRoute", {"filter_context": context})}


def health(path: str) -> Message:
    """Answers `path` by itself: 200, or 503 once the gateway drains."""
    header = {"name": ":path", "string_match": {"exact": path}}
    content = {"pass_through_mode": False, "headers": [header]}
    return _filter("health_check", typed(f"{_HTTP}.health_check.v3.HealthCheck", content))


def router() -> Message:
    """Sends the request on."""
    return _filter("router", typed(f"{_HTTP}.router.v3.Router", {}))


def _filter(name: str, config: Message) -> Message:
    return {"name": f"envoy.filters.http.{name}", "typed_config": config}


def _range(network: str) -> Message:
    address, _, bits = network.partition("/")
    return {"address_prefix": address, "prefix_len": int(bits or (128 if ":" in address else 32))}
