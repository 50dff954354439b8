"""What stands behind the gateway: the model server, and whoever publishes the keys of tokens."""

from __future__ import annotations

from serving.gateway import keys
from serving.gateway.config import Address, GatewayConfig
from serving.gateway.messages import Message, endpoint, pipe_address, socket_address, typed
from serving.gateway.routes import GRPC_CLUSTER, REST_CLUSTER

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: Requests that may wait for the model server at a time. Beyond it the answer is 503, at once.
_MAX_REQUESTS = 4096


def clusters(config: GatewayConfig) -> list[Message]:
    """All clusters of a gateway."""
    rest = Address.parse(config.upstream_rest, "upstream_rest")
    socket = str(config.upstream_grpc_socket.absolute())
    found = [
        _model_server(REST_CLUSTER, socket_address(rest.host, rest.port), {"http_protocol_options": {}}),
        _model_server(GRPC_CLUSTER, pipe_address(socket), {"http2_protocol_options": {}}),
    ]
    return [*found, keys.cluster(config)] if config.asks_for_tokens else found


def _model_server(name: str, address: Message, protocol: Message) -> Message:
    # reset-before-request and a short idle time both serve the same: no request on a connection that is about to close.
    options = {"explicit_http_config": protocol, "common_http_protocol_options": {"idle_timeout": "30s"}}
    thresholds = {
        "max_connections": 1024,
        "max_pending_requests": _MAX_REQUESTS,
        "max_requests": _MAX_REQUESTS,
        # While the model server is being replaced, every request is a retry.
        "max_retries": _MAX_REQUESTS,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_OPTIONS: typed(f"type.googleapis.com/{_OPTIONS}", options)},
        "circuit_breakers": {"thresholds": [thresholds]},
        "load_assignment": endpoint(name, address),
    }
