"""The two doors of a gateway: REST and gRPC. Both pass the same filters; only the forms of refusals differ."""

from __future__ import annotations

from serving.gateway import filters, keys, limits
from serving.gateway.access_log import access_log
from serving.gateway.config import Address, GatewayConfig
from serving.gateway.lanes import choosing
from serving.gateway.messages import Message, socket_address, typed
from serving.gateway.rates import customer_rates
from serving.gateway.routes import grpc_routes, rest_routes
from serving.gateway.table import RoutingTable
from serving.gateway.tls import transport_socket

HEALTH_PATH = "/healthz"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
#: Bytes that a connection may hold before Envoy asks the peer to wait; the body limit has its own.
_CONNECTION_BUFFER = 1024 * 1024
#: HTTP statuses of Envoy's own answers, and the gRPC codes that say the same: DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED.
_CODES = ((408, 4), (413, 8), (504, 4))
_TOO_MANY_REQUESTS = 429
_RATE_WORDS = "this customer's rate of requests is used up: ask again in a second"


def listeners(config: GatewayConfig, table: RoutingTable) -> list[Message]:
    """Both doors of a gateway, and the one through which it reads key files."""
    routes = {"rest": rest_routes(config, table), "grpc": grpc_routes(config, table)}
    settings = config.settings
    guards = [filters.trace_id(), filters.networks(settings)]
    checked = [filters.tokens(settings), filters.no_null_claim()] if config.asks_for_tokens else []
    read = [
        filters.lua(again=False),
        *customer_rates(settings),
        *choosing(settings),
    ]
    body = filters.body_limit(settings)
    # The health answer stands behind the networks and before the tokens: a probe has none. A REST request says in its
    # path which model it wants, so its body is read last; a gRPC request says it in the body.
    rest = [*guards, filters.health(HEALTH_PATH), *checked, *read, filters.decompression(), body]
    grpc = [*guards, *checked, body, *read]
    return [
        _listener(config, "rest", _manager(config, routes["rest"], rest)),
        _listener(config, "grpc", _manager(config, routes["grpc"], grpc)),
        *keys.file_listeners(config),
    ]


def _listener(config: GatewayConfig, door: str, manager: Message) -> Message:
    where = Address.parse(config.rest if door == "rest" else config.grpc, door)
    chain: Message = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if tls := transport_socket(config.settings, config.work_dir, door):
        # The time limit is for handshakes: a client that never ends one would keep its connection.
        chain |= {"transport_socket": tls, "transport_socket_connect_timeout": "10s"}
    return {
        "name": door,
        "address": socket_address(where.host, where.port),
        # Otherwise two gateways would take one port without a word, and share its connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": _CONNECTION_BUFFER,
        "filter_chains": [chain],
    }


def _manager(config: GatewayConfig, routes: Message, passed: list[Message]) -> Message:
    name = routes["name"]
    rest = name == "rest"
    content: Message = {
        "stat_prefix": name,
        "codec_type": "AUTO" if rest else "HTTP2",
        "server_name": "roost",
        "route_config": routes,
        "http_filters": [*passed, filters.router()],
        **limits.http_limits(),
        **filters.who_asks(config.settings),
        "always_set_request_id_in_response": True,
        "preserve_external_request_id": config.settings.keep_request_ids,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }
    content["local_reply_config"] = _rest_answers() if rest else _grpc_answers()
    if log := access_log(config.settings, grpc=not rest, tokens=config.asks_for_tokens):
        content["access_log"] = log
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
    return {"mappers": [*health, _rate_refusal()], "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}


def _grpc_answers() -> Message:
    return {"mappers": [*(_grpc_refusal(*each) for each in _CODES), _rate_refusal()]}


def _rate_refusal() -> Message:
    return {"filter": _status_is(_TOO_MANY_REQUESTS), "body": {"inline_string": _RATE_WORDS}}


def _grpc_refusal(http_status: int, grpc_status: int) -> Message:
    header = {
        "header": {"key": "grpc-status", "value": str(grpc_status)},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {"filter": _status_is(http_status), "headers_to_add": [header]}


def _status_is(status: int) -> Message:
    value = {"default_value": status, "runtime_key": f"roost.answer_{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
