"""What stands behind the gateway: the model server, and whoever publishes the keys of tokens."""

from __future__ import annotations

from serving.gateway.config import Address, GatewayConfig
from serving.gateway.filters import KEYS_CLUSTER, keys_host
from serving.gateway.messages import Message, pipe_address, socket_address, typed
from serving.gateway.routes import GRPC_CLUSTER, REST_CLUSTER

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
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
    return [*found, _keys(config)] if config.settings.jwks_url else found


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
        "load_assignment": _endpoint(name, address),
    }


def _keys(config: GatewayConfig) -> Message:
    host, port, tls = keys_host(config.settings)
    cluster: Message = {
        "name": KEYS_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": _endpoint(KEYS_CLUSTER, socket_address(host, port)),
    }
    if tls:
        authorities = {"trusted_ca": {"filename": _SYSTEM_AUTHORITIES}}
        names = [{"san_type": "DNS", "matcher": {"exact": host}}]
        context = {
            "sni": host,
            "common_tls_context": {"validation_context": {**authorities, "match_typed_subject_alt_names": names}},
        }
        url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed(url, context)}
    return cluster


def _endpoint(name: str, address: Message) -> Message:
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
