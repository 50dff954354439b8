"""Envoy's configuration messages as plain documents. Envoy itself checks them: `serving.gateway.binary.validate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

#: One message in protobuf's JSON form, with the field names of Envoy's API (v3).
Message: TypeAlias = dict[str, object]


def typed(url: str, content: Mapping[str, object]) -> Message:
    """The message as `google.protobuf.Any`, which says by its type what it is."""
    return {"@type": url, **content}


def socket_address(host: str, port: int) -> Message:
    """An address of a host and a port."""
    return {"socket_address": {"address": host, "port_value": port}}


def pipe_address(path: str, *, mode: int | None = None) -> Message:
    """An address of a Unix socket; `mode` says who may open one that is made."""
    return {"pipe": {"path": path} if mode is None else {"path": path, "mode": mode}}


def endpoint(cluster: str, address: Message) -> Message:
    """The load assignment of a cluster that has one address."""
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
