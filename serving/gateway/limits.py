"""What keeps a gateway standing whoever asks: connections, memory, floods of frames, clients that never finish.

By Envoy's own advice for gateways at the edge:
https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge
"""

from __future__ import annotations

from roost.settings import GatewaySettings
from serving.gateway.messages import Message, typed

_MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_MEBIBYTE = 1024 * 1024


def overload_manager(settings: GatewaySettings) -> Message:
    """Turns new connections away beyond their limit, and new requests while memory is nearly used up."""
    connections = {"max_active_downstream_connections": settings.max_connections}
    heap = {"max_heap_size_bytes": int(settings.max_memory_mb * _MEBIBYTE)}
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": _CONNECTIONS,
                "typed_config": typed(
                    f"{_MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig", connections
                ),
            },
            {"name": _HEAP, "typed_config": typed(f"{_MONITORS}.fixed_heap.v3.FixedHeapConfig", heap)},
        ],
        "actions": [
            _when_heap("envoy.overload_actions.shrink_heap", 0.92),
            _when_heap("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _when_heap(action: str, share: float) -> Message:
    return {"name": action, "triggers": [{"name": _HEAP, "threshold": {"value": share}}]}


def runtime() -> Message:
    """Limits that Envoy takes as runtime values only."""
    # A connection that opens and resets streams as fast as it can (CVE-2023-44487) is closed by Envoy after 500 of
    # them; until then it has a few streams a turn of the loop, so that others have theirs. Envoy advises one at the
    # edge; but a front sends everybody's calls on one connection, and with one a turn it carried about a fifth less.
    return {"layers": [{"name": "limits", "static_layer": {"http.max_requests_per_io_cycle": 16}}]}


def http_limits() -> Message:
    """Of each connection and each request, for a door's HTTP manager."""
    return {
        "common_http_protocol_options": {"idle_timeout": "300s", "max_headers_count": 100},
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            # What a client may send unread: of one stream, and of all of its streams together.
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 4 * _MEBIBYTE,
            # A dead client is noticed, and its streams are freed.
            "connection_keepalive": {"interval": "60s", "timeout": "20s"},
        },
        "max_request_headers_kb": 60,
        # A client that sends its headers, or its body, a byte at a time.
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        # A stream on which nothing moves; above the time that a prediction may take.
        "stream_idle_timeout": "60s",
    }
