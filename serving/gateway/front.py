"""The front: one address before all replicas of a pool, or of several pools.

It sends each request to a replica whose node says that it is ready, and asks another one where a replica broke off.
A prediction changes nothing, so asking twice is safe; but a request may be what killed the first replica, hence two
replicas at most are asked again.

With a placement it finds the pool of each served name: in the path of a REST request, in the message of a gRPC request.
The names are a table in the route's script and not routes: Envoy tries routes one after another, and an entry of a
table is found at once, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roost.adapters.grpc_tls import ClientTls
from roost.contracts.errors import SettingsInvalid
from roost.contracts.placement import Placement
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway import filters, limits
from serving.gateway.certificates import check_client, check_tls
from serving.gateway.config import Address
from serving.gateway.configuration import Configuration
from serving.gateway.messages import Message, socket_address, typed
from serving.gateway.tls import plainly_checked, secret_files, to_gateways, transport_socket

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PREVIOUS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
#: The script says in it which cluster answers.
_POOL_HEADER: Final = "x-roost-pool"
_SCRIPT: Final = (*filters.MODEL_SPEC, "placement.lua")
_DOORS: Final = ("rest", "grpc")
_RETRIES = 2
#: By door: what broke off on its way, and what a replica says that is going away.
_RETRY_ON = {
    "rest": "connect-failure,refused-stream,reset,retriable-status-codes",
    "grpc": "connect-failure,refused-stream,reset,cancelled,unavailable",
}
_HEALTH = {
    "interval": "0.5s",
    "no_traffic_interval": "0.5s",
    "timeout": "1s",
    # A node that says that it is not ready counts at once. One that is late once, on a busy machine, answers all the
    # same: a pool whose nodes were all late would have no replica left.
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontConfig:
    """One front. Addresses are ``host:port`` with an IP literal.

    Raises:
        SettingsInvalid: on creation, naming what cannot be used.
    """

    rest: str
    grpc: str
    #: Of every pool in the placement; without one, of the one pool that there is.
    nodes: Sequence[NodeAddress]
    admin_socket: Path
    settings: GatewaySettings
    placement: Placement | None = None
    #: How the nodes' gateways are asked, which speak TLS where the front does.
    tls: ClientTls | None = None

    def __post_init__(self) -> None:
        Address.parse(self.rest, "front rest")
        Address.parse(self.grpc, "front grpc")
        if not self.nodes:
            raise SettingsInvalid("the front has no node to send requests to: list the pool's nodes first")
        check_tls(self.settings)
        if self.settings.tls_cert_file and not self.tls:
            raise SettingsInvalid("the front asks gateways that speak TLS: set ROOST_SERVING__PREDICT_CA_FILE")
        if self.tls:
            check_client(self.tls)


def front(config: FrontConfig) -> Configuration:
    """The front's whole configuration. Its listeners are the same for every placement and all nodes."""
    return Configuration(
        node="roost-front",
        admin_socket=config.admin_socket,
        listeners=[_listener(config, door) for door in _DOORS],
        changing=[cluster for door in _DOORS for cluster in _clusters(config, door)],
        more={"overload_manager": limits.overload_manager(config.settings), "layered_runtime": limits.runtime()},
        beside=secret_files(config.settings, config.admin_socket.parent, config.tls),
    )


def _listener(config: FrontConfig, door: str) -> Message:
    where = Address.parse(config.rest if door == "rest" else config.grpc, door)
    manager: Message = {
        "stat_prefix": door,
        "codec_type": "AUTO" if door == "rest" else "HTTP2",
        "server_name": "roost",
        "route_config": _routes(config, door),
        "http_filters": [filters.networks(config.settings), *_placing(config, door), filters.router()],
        **limits.http_limits(),
        **filters.who_asks(config.settings),
        "preserve_external_request_id": True,
    }
    if door == "rest":
        manager["local_reply_config"] = {"body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}
    chain: Message = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": typed(_MANAGER, manager)}]
    }
    if tls := transport_socket(config.settings, config.admin_socket.parent, door):
        chain |= {"transport_socket": tls, "transport_socket_connect_timeout": "10s"}
    return {
        "name": door,
        "address": socket_address(where.host, where.port),
        "enable_reuse_port": False,
        # As much of a request is kept for asking again.
        "per_connection_buffer_limit_bytes": int(config.settings.max_body_mb * 1024 * 1024),
        "filter_chains": [chain],
    }


def _placing(config: FrontConfig, door: str) -> list[Message]:
    """What finds the pool. A gRPC request says its name in the message, which is read whole for it."""
    if config.placement is None:
        return []
    return [*([filters.body_limit(config.settings)] if door == "grpc" else []), filters.lua(again=True)]


def _routes(config: FrontConfig, door: str) -> Message:
    retry: Message = {
        "retry_on": _RETRY_ON[door],
        "retriable_status_codes": [503],
        "num_retries": _RETRIES,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": typed(f"type.googleapis.com/{_PREVIOUS}", {}),
            }
        ],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
    }
    action: Message = {"timeout": "30s", "retry_policy": retry}
    route: Message = {"match": {"prefix": "/"}}
    host: Message = {"name": door, "domains": ["*"]}
    placement = config.placement
    if placement is None:
        route["route"] = {**action, "cluster": door}
    else:
        told: Message = {"api": door, "otherwise": _cluster_name(door, placement.otherwise)}
        route["route"] = {**action, "cluster_header": _POOL_HEADER}
        route["request_headers_to_remove"] = [_POOL_HEADER]
        places = {name: _cluster_name(door, pool) for name, pool in sorted(placement.names.items())}
        route["typed_per_filter_config"] = filters.route_script(told, *_SCRIPT, names=places)
    return {"name": door, "virtual_hosts": [{**host, "routes": [route]}]}


def _clusters(config: FrontConfig, door: str) -> list[Message]:
    if config.placement is None:
        return [_secured(config, _cluster(door, config.nodes, door), door)]
    clusters = [
        _cluster(_cluster_name(door, pool), [node for node in config.nodes if node.pool == pool], door)
        for pool in config.placement.pools
    ]
    return [_secured(config, each, door) for each in clusters]


def _secured(config: FrontConfig, cluster: Message, door: str) -> Message:
    """The cluster, asked by TLS where gateways speak it. Their nodes' control ports, which say who is ready, do not."""
    if not config.tls:
        return cluster
    addresses = [node.rest if door == "rest" else node.grpc for node in config.nodes]
    health: Message = {**_HEALTH, "http_health_check": {"path": "/readyz"}}
    hosts = [Address.parse(each, door).host for each in addresses]
    return {**cluster, **to_gateways(config.tls, hosts, config.admin_socket.parent), **plainly_checked(health)}


def _cluster_name(door: str, pool: str) -> str:
    return f"{door}/{pool}"


def _cluster(name: str, nodes: Sequence[NodeAddress], door: str) -> Message:
    protocol: Message = {"http_protocol_options": {}} if door == "rest" else {"http2_protocol_options": {}}
    options = {"explicit_http_config": protocol, "common_http_protocol_options": {"idle_timeout": "60s"}}
    thresholds = {"max_connections": 1024, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 4096}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {
            # Where no replica is ready, an answer that says so is truer than one from a replica that is not.
            "healthy_panic_threshold": {"value": 0},
            # Envoy gathers changes of health for a second: a replica that had come back was not asked yet when the next
            # one went, and then nobody was left.
            "update_merge_window": "0s",
        },
        "typed_extension_protocol_options": {_OPTIONS: typed(f"type.googleapis.com/{_OPTIONS}", options)},
        "circuit_breakers": {"thresholds": [thresholds]},
        "health_checks": [{**_HEALTH, "http_health_check": {"path": "/readyz"}}],
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_node(node, door) for node in nodes]}],
        },
    }


def _node(node: NodeAddress, door: str) -> Message:
    where = Address.parse(node.rest if door == "rest" else node.grpc, f"{door} of {node.node}")
    control = Address.parse(node.control, f"control of {node.node}")
    # The node itself knows whether it is ready, and its control port says so.
    health = {
        "port_value": control.port,
        "address": {"socket_address": {"address": control.host, "port_value": control.port}},
    }
    return {"endpoint": {"address": socket_address(where.host, where.port), "health_check_config": health}}
