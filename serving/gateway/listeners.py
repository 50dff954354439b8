"""The two doors of a gateway: REST and gRPC. Both pass the same filters; only the forms of refusals differ."""

from __future__ import annotations

from serving.gateway import filters, keys
from serving.gateway.config import Address, GatewayConfig
from serving.gateway.messages import Message, socket_address, typed
from serving.gateway.routes import grpc_routes, rest_routes

HEALTH_PATH = "/healthz"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
#: Bytes that a connection may hold before Envoy asks the peer to wait; the body limit has its own.
_CONNECTION_BUFFER = 1024 * 1024
#: HTTP statuses of Envoy's own answers, and the gRPC codes that say the same: RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED.
_CODES = ((413, 8), (504, 4))


def listeners(config: GatewayConfig) -> list[Message]:
    """Both doors of a gateway, and the one through which it reads a key file."""
    guards = [filters.networks(config.settings)]
    if config.asks_for_tokens:
        guards += [filters.tokens(config.settings), filters.no_null_binding()]
    rest = [*guards, filters.decompression(), filters.body_limit(config.settings)]
    if config.asks_for_tokens:
        rest.append(filters.model_spec())
    # The health answer stands behind the networks and before the tokens: a probe has none.
    rest.insert(1, filters.health(HEALTH_PATH))
    grpc = [*guards, filters.body_limit(config.settings), filters.model_spec()]
    doors = [
        _listener("rest", config.rest, _manager(config, "rest", rest)),
        _listener("grpc", config.grpc, _manager(config, "grpc", grpc)),
    ]
    file = config.settings.jwks_file
    return [*doors, keys.file_listener(config, file)] if file else doors


def _listener(name: str, address: str, manager: Message) -> Message:
    where = Address.parse(address, name)
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": name,
        "address": socket_address(where.host, where.port),
        # Otherwise two gateways would take one port without a word, and share its connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": _CONNECTION_BUFFER,
        "filter_chains": [chain],
    }


def _manager(config: GatewayConfig, name: str, passed: list[Message]) -> Message:
    rest = name == "rest"
    content: Message = {
        "stat_prefix": name,
        "codec_type": "AUTO" if rest else "HTTP2",
        "server_name": "roost",
        "route_config": rest_routes(config) if rest else grpc_routes(config),
        "http_filters": [*passed, filters.router()],
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "http2_protocol_options": {"max_concurrent_streams": 1024},
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        # Who asks is who connects; what a client says of itself in x-forwarded-for changes nothing.
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }
    content["local_reply_config"] = _rest_answers() if rest else {"mappers": [_grpc_refusal(*each) for each in _CODES]}
    if config.settings.access_log:
        content["access_log"] = [_access_log(str(config.settings.access_log.absolute()), grpc=not rest)]
    return typed(_MANAGER, content)


def _rest_answers() -> Message:
    """Envoy's own answers: refusals in TensorFlow Serving's form of an error, and what the health path says."""
    asked = {"header_filter": {"header": {"name": ":path", "string_match": {"exact": HEALTH_PATH}}}}
    words = ((200, "ok"), (503, "draining"))
    health = [
        {
            "filter": {"and_filter": {"filters": [asked, _status_is(status)]}},
            "body_format_override": {"json_format": {"status": word}},
        }
        for status, word in words
    ]
    return {"mappers": health, "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}


def _grpc_refusal(http_status: int, grpc_status: int) -> Message:
    header = {
        "header": {"key": "grpc-status", "value": str(grpc_status)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {"filter": _status_is(http_status), "headers_to_add": [header]}


def _status_is(status: int) -> Message:
    value = {"default_value": status, "runtime_key": f"roost.answer_{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _access_log(path: str, *, grpc: bool) -> Message:
    fields: Message = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "subject": f"%DYNAMIC_METADATA({filters.JWT_FILTER}:{filters.CLAIMS}:sub)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
        "upstream_attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    if grpc:
        fields |= {"model": "%DYNAMIC_METADATA(roost:model)%", "grpc_status": "%GRPC_STATUS%"}
    content = {"path": path, "log_format": {"json_format": fields}}
    return {"name": "envoy.access_loggers.file", "typed_config": typed(_FILE_LOG, content)}
