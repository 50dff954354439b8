"""How many requests of one customer the model server gets at a time, so that a hot one cannot fill its threads.

Envoy limits what is under way by cluster and by host, not by customer. So the model server stands in its cluster many
times, each time with a limit of its own: these are lanes. A customer's requests take the lane that the hash of their
name gives; what is beyond the lane's limit waits in the gateway, and the other lanes are free.
"""

from __future__ import annotations

from typing import Final, cast

from roost.settings import GatewaySettings
from serving.gateway.filters import REQUEST, http_filter
from serving.gateway.messages import Message, typed

#: Two customers share one with a chance of one in so many.
LANES: Final = 64
_KEY: Final = "roost.customer"
_STATE: Final = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"


def choosing(settings: GatewaySettings) -> list[Message]:
    """The filter that keeps the customer where the choice of a host finds it, also when a request is tried again."""
    if settings.customer_in_flight is None:
        return []
    kept = {
        "object_key": _KEY,
        "factory_key": "envoy.hashable_string",
        "format_string": {"text_format_source": {"inline_string": f"%DYNAMIC_METADATA({REQUEST}:customer)%"}},
    }
    return [http_filter("set_filter_state", typed(_STATE, {"on_request_headers": [kept]}))]


def by_customer(settings: GatewaySettings) -> Message:
    """Fields of a route's action to the model server."""
    return {"hash_policy": [{"filter_state": {"key": _KEY}}]} if settings.customer_in_flight else {}


def rest_lanes(settings: GatewaySettings, cluster: Message) -> Message:
    """The cluster in lanes. Of HTTP/1 a connection carries one request at a time."""
    limit = settings.customer_in_flight
    return _in_lanes(cluster, limit) if limit else cluster


def grpc_lanes(settings: GatewaySettings, cluster: Message) -> Message:
    """The cluster in lanes, each of which is one connection; `grpc_protocol` limits its streams."""
    return _in_lanes(cluster, 1) if settings.customer_in_flight else cluster


def grpc_protocol(settings: GatewaySettings) -> Message:
    """How the model server's gRPC is spoken."""
    limit = settings.customer_in_flight
    return {"http2_protocol_options": {"max_concurrent_streams": limit} if limit else {}}


def _in_lanes(cluster: Message, connections: int) -> Message:
    assignment = cast("dict[str, list[dict[str, list[Message]]]]", cluster["load_assignment"])
    (server,) = assignment["endpoints"][0]["lb_endpoints"]
    endpoint = server["endpoint"]
    # All at one address, so each is told apart by a key of its own.
    lanes = [{"endpoint": endpoint, "metadata": _key(number)} for number in range(LANES)]
    breakers = cast("dict[str, list[Message]]", cluster["circuit_breakers"])
    thresholds = {**breakers["thresholds"][0], "max_connections": LANES * connections}
    return {
        **cluster,
        "lb_policy": "MAGLEV",
        "circuit_breakers": {
            "thresholds": [thresholds],
            "per_host_thresholds": [{"max_connections": connections}],
        },
        "load_assignment": {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": lanes}]},
    }


def _key(number: int) -> Message:
    return {"filter_metadata": {"envoy.lb": {"hash_key": f"lane {number}"}}}
