"""Renders the whole configuration of a node's gateway."""

from __future__ import annotations

from serving.gateway import clusters, keys
from serving.gateway.config import GatewayConfig
from serving.gateway.configuration import Configuration, as_text
from serving.gateway.limits import overload_manager, runtime
from serving.gateway.listeners import listeners
from serving.gateway.messages import Message
from serving.gateway.table import RoutingTable
from serving.gateway.tls import secret_files


def configuration(config: GatewayConfig, table: RoutingTable | None = None) -> Configuration:
    """Listeners, clusters, limits, and the admin interface on its Unix socket; `table` is what changes of it."""
    table = table or RoutingTable()
    return Configuration(
        node="roost-gateway",
        admin_socket=config.admin_socket,
        listeners=listeners(config, table),
        clusters=clusters.clusters(config),
        changing=clusters.changing(config, table),
        more={
            "overload_manager": overload_manager(config.settings),
            "layered_runtime": runtime(),
            # How old the latencies are that a node paces its loads by; Envoy's own default is five seconds.
            "stats_flush_interval": "1s",
        },
        beside=secret_files(config.settings, config.work_dir, config.tls) | keys.trust_files(config),
    )


def bootstrap(config: GatewayConfig, table: RoutingTable | None = None) -> Message:
    """Envoy's bootstrap message with everything in it."""
    return configuration(config, table).whole()


def render(config: GatewayConfig, table: RoutingTable | None = None) -> str:
    """The configuration as JSON text, ready for ``envoy -c``. The same input gives the same bytes."""
    return as_text(bootstrap(config, table))
