"""What stands behind the gateway: the model server, candidates that get copies, and who publishes keys of tokens."""

from __future__ import annotations

from serving.gateway import keys
from serving.gateway.config import Address, GatewayConfig
from serving.gateway.lanes import grpc_lanes, grpc_protocol, rest_lanes
from serving.gateway.messages import Message, endpoint, pipe_address, socket_address, typed
from serving.gateway.routes import DOCS_CLUSTER, GRPC_CLUSTER, PAGE_CLUSTER, REST_CLUSTER, TAP_CLUSTER
from serving.gateway.table import RoutingTable, mirror_cluster
from serving.gateway.tls import to_gateways

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: Requests that may wait for the model server at a time. Beyond it the answer is 503, at once.
_MAX_REQUESTS = 4096
#: Copies that may be under way to one candidate. A candidate that hangs holds no more of the gateway's memory.
_MAX_COPIES = 64
#: Under way to the node's own page, and as many that wait. Beyond it the answer is 503, before bodies fill the node.
_PAGE_REQUESTS = 128
_TAP_COPIES = 6
#: Of the page's description, which needs no token: its readers hold up nobody who asks for predictions.
_DOCS_READERS = 16
_REST: Message = {"http_protocol_options": {}}
_GRPC: Message = {"http2_protocol_options": {}}


def clusters(config: GatewayConfig) -> list[Message]:
    """The clusters that are there as long as the gateway."""
    rest = Address.parse(config.upstream_rest, "upstream_rest")
    socket = str(config.upstream_grpc_socket.absolute())
    found = [
        rest_lanes(config.settings, _cluster(REST_CLUSTER, socket_address(rest.host, rest.port), _REST)),
        grpc_lanes(config.settings, _cluster(GRPC_CLUSTER, pipe_address(socket), grpc_protocol(config.settings))),
    ]
    return [*found, *_page(config), *keys.clusters(config)]


def changing(config: GatewayConfig, table: RoutingTable) -> list[Message]:
    """Those that come and go: the candidates that get copies of requests, and where copies are recorded."""
    return [*_mirrors(config, table), *_taps(config, table)]


def _mirrors(config: GatewayConfig, table: RoutingTable) -> list[Message]:
    addresses = {mirror.rest: _REST for mirror in table.mirrors.values()}
    addresses |= {mirror.grpc: _GRPC for mirror in table.mirrors.values()}
    found = []
    for address in sorted(addresses):
        host = Address.parse(address, "mirror").host
        secured = to_gateways(config.tls, [host], config.work_dir) if config.tls else {}
        found.append({**_mirror(address, addresses[address]), **secured})
    return found


def _page(config: GatewayConfig) -> list[Message]:
    """The node's own page."""
    if config.page_socket is None:
        return []
    address = pipe_address(str(config.page_socket.absolute()))
    found = [_limited(_cluster(PAGE_CLUSTER, address, _REST), connections=_PAGE_REQUESTS, waiting=_PAGE_REQUESTS)]
    found.append(_limited(_cluster(DOCS_CLUSTER, address, _REST), connections=2, waiting=_DOCS_READERS))
    return found


def _taps(config: GatewayConfig, table: RoutingTable) -> list[Message]:
    """Where copies are recorded: too many are dropped, not kept waiting."""
    if config.page_socket is None or table.recorded <= 0:
        return []
    address = pipe_address(str(config.page_socket.absolute()))
    return [_limited(_cluster(TAP_CLUSTER, address, _REST), connections=2, waiting=_TAP_COPIES)]


def _limited(cluster: Message, *, connections: int, waiting: int) -> Message:
    limits = {
        "max_connections": connections,
        "max_pending_requests": waiting,
        "max_requests": connections + waiting,
        "max_retries": waiting,
    }
    return {**cluster, "circuit_breakers": {"thresholds": [limits]}}


def _mirror(address: str, protocol: Message) -> Message:
    where = Address.parse(address, "mirror")
    found = _cluster(mirror_cluster(address), socket_address(where.host, where.port), protocol)
    limits = {"max_connections": 8, "max_pending_requests": _MAX_COPIES, "max_requests": _MAX_COPIES, "max_retries": 0}
    # A candidate that is away costs a failed connection at a time, and no request that waits for one.
    return {**found, "connect_timeout": "0.25s", "circuit_breakers": {"thresholds": [limits]}}


def _cluster(name: str, address: Message, protocol: Message) -> Message:
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
