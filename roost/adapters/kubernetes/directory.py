"""Which nodes a pool has: its pods, found by label, their doors by the names of their ports."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes import client

from roost.adapters.kubernetes.cluster import Cluster
from roost.contracts.errors import ClusterRefused, ClusterUnavailable, NodeUnavailable
from roost.contracts.ids import check_id
from roost.ports.clock import Clock
from roost.ports.serving import NodeAddress

log = logging.getLogger(__name__)

#: The label of a pool's pods.
POOL_LABEL: Final = "roost/pool"
_DOORS: Final = ("control", "rest", "grpc")
#: Seconds for which an answer is taken as it is. A new node serves the current generation before it is ready, so that
#: to learn of it a little later harms nobody.
_FRESH: Final = 2.0
#: Seconds for which the last answer stands while there is none: a rollback must work while the API server is away.
_KEPT: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    nodes: tuple[NodeAddress, ...]
    at: float


class KubernetesDirectory:
    """A `NodeDirectory` over the pods of one namespace. Safe for many threads."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = threading.Lock()
        self._looks: dict[str, _Look] = {}

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        """Pods that run and are not on their way out, ready or not, by name.

        Raises:
            NodeUnavailable: the API server refuses, or has not answered for minutes.
        """
        with self._lock:
            known, now = self._looks.get(pool), self._clock.monotonic()
            if known is not None and now - known.at < _FRESH:
                return known.nodes
            try:
                found = self._list(check_id(pool, "pool id"))
            except ClusterUnavailable as error:
                if known is None or now - known.at > _KEPT:
                    raise NodeUnavailable(str(error)) from error
                log.warning("the nodes of pool %s are those of %.0f s ago: %s", pool, now - known.at, error)
                return known.nodes
            except ClusterRefused as error:
                raise NodeUnavailable(str(error)) from error
            self._looks[pool] = _Look(nodes=found, at=now)
            return found

    def _list(self, pool: str) -> tuple[NodeAddress, ...]:
        pods = client.CoreV1Api(self._cluster.api).list_namespaced_pod
        selector = f"{POOL_LABEL}={pool}"
        answer = self._cluster.ask("list pods", pods, self._cluster.namespace, label_selector=selector)
        found = (_address(pod, pool) for pod in answer.items)
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.node))


def _address(pod: Any, pool: str) -> NodeAddress | None:
    """Where the pod is; None where it is not there yet, or not any more."""
    address = pod.status.pod_ip
    if not address or pod.metadata.deletion_timestamp is not None or pod.status.phase in {"Succeeded", "Failed"}:
        return None
    ports = {port.name: port.container_port for one in pod.spec.containers for port in one.ports or ()}
    if any(door not in ports for door in _DOORS):
        log.warning("pod %s of pool %s has no ports control, rest and grpc: it is left out", pod.metadata.name, pool)
        return None
    host = f"[{address}]" if ":" in address else address
    control, rest, grpc = (f"{host}:{ports[door]}" for door in _DOORS)
    return NodeAddress(node=pod.metadata.name, pool=pool, control=control, rest=rest, grpc=grpc)
