"""Renders Envoy's whole configuration."""

from __future__ import annotations

import json

from serving.gateway.clusters import clusters
from serving.gateway.config import GatewayConfig
from serving.gateway.listeners import listeners
from serving.gateway.messages import Message, pipe_address, typed

_MAX_CONNECTIONS = 10_000
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_CONNECTIONS_TYPE = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)


def bootstrap(config: GatewayConfig) -> Message:
    """Envoy's bootstrap message: listeners, clusters, limits, and the admin interface on its Unix socket."""
    monitor = typed(_CONNECTIONS_TYPE, {"max_active_downstream_connections": _MAX_CONNECTIONS})
    return {
        "node": {"id": "roost-gateway", "cluster": "roost"},
        # Whoever opens the admin socket can stop the gateway: only its owner can.
        "admin": {"address": pipe_address(str(config.admin_socket.absolute()), mode=0o600)},
        "static_resources": {"listeners": listeners(config), "clusters": clusters(config)},
        "overload_manager": {"resource_monitors": [{"name": _CONNECTIONS, "typed_config": monitor}]},
    }


def render(config: GatewayConfig) -> str:
    """The configuration as JSON text, ready for ``envoy -c``. The same input gives the same bytes."""
    return json.dumps(bootstrap(config), indent=2, ensure_ascii=False) + "\n"
