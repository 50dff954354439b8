"""The fleet at one moment: desired state of each pool beside what each node says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deployer.console import fleet_views, views
from deployer.console.sources import Sources
from roost.contracts.acks import NodeState
from roost.contracts.desired import DesiredState
from roost.contracts.errors import NodeUnavailable, StorageUnavailable
from roost.ports.serving import NodeAddress

#: Seconds that a node has to answer; a page must not hang on a dead one.
NODE_DEADLINE = 1.0
#: However many pages are open, nodes are asked at most this often, in seconds.
_FRESH_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node as the directory and its control port have it."""

    address: NodeAddress
    state: NodeState | None
    #: Why there is no state.
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """One pool. `desired` is None only where `desired_error` says why."""

    pool: str
    desired: DesiredState | None
    desired_error: str | None
    nodes: Sequence[NodeReport]
    nodes_error: str | None


class FleetReader:
    """Reads pools, each at most every half second. Never raises for a part that is down: the report says so."""

    def __init__(self, sources: Sources) -> None:
        """`sources` stay open as long as this reader is used."""
        self._sources = sources
        self._ask = ThreadPoolExecutor(max_workers=16, thread_name_prefix="fleet")
        self._locks = {pool: threading.Lock() for pool in sources.pools}
        self._cache: dict[str, tuple[float, PoolReport]] = {}

    def pool(self, pool: str) -> PoolReport:
        """One pool now, or as it was less than half a second ago."""
        lock = self._locks.setdefault(pool, threading.Lock())
        with lock:
            now = self._sources.clock.monotonic()
            read_at, report = self._cache.get(pool, (float("-inf"), None))
            if report is None or now - read_at > _FRESH_SECONDS:
                report = self._read(pool)
                self._cache[pool] = (self._sources.clock.monotonic(), report)
            return report

    def view(self) -> fleet_views.FleetView:
        """All pools."""
        pools = tuple(pool_view(self.pool(pool)) for pool in self._sources.pools)
        return fleet_views.FleetView(at=self._sources.clock.now(), pools=pools)

    def close(self) -> None:
        """Stop asking."""
        self._ask.shutdown(wait=False, cancel_futures=True)

    def _read(self, pool: str) -> PoolReport:
        desired, desired_error = self._desired(pool)
        try:
            addresses = self._sources.directory.nodes(pool)
        except NodeUnavailable as error:
            return PoolReport(pool=pool, desired=desired, desired_error=desired_error, nodes=(), nodes_error=str(error))
        nodes = tuple(self._ask.map(self._node, addresses))
        return PoolReport(pool=pool, desired=desired, desired_error=desired_error, nodes=nodes, nodes_error=None)

    def _desired(self, pool: str) -> tuple[DesiredState | None, str | None]:
        try:
            return self._sources.desired.read(pool), None
        except StorageUnavailable as error:
            return None, str(error)

    def _node(self, address: NodeAddress) -> NodeReport:
        try:
            return NodeReport(address=address, state=self._sources.control.state(address, deadline=NODE_DEADLINE))
        except NodeUnavailable as error:
            return NodeReport(address=address, state=None, error=str(error))


def pool_view(report: PoolReport) -> fleet_views.PoolView:
    """The API's shape of a pool."""
    desired = report.desired
    nodes = tuple(node_view(node, desired.generation if desired else None) for node in report.nodes)
    models = tuple(
        fleet_views.PoolModelView(
            name=model.name, stable=model.stable, versions=tuple(entry.version for entry in model.versions)
        )
        for model in (desired.models if desired else ())
    )
    return fleet_views.PoolView(
        pool=report.pool,
        generation=desired.generation if desired else None,
        reason=desired.reason if desired else "",
        models=models,
        nodes=nodes,
        nodes_behind=sum(node.behind or not node.reachable for node in nodes),
        errors=tuple(error for error in (report.desired_error, report.nodes_error) if error),
    )


def node_view(report: NodeReport, desired_generation: int | None) -> fleet_views.NodeView:
    """The API's shape of a node; `behind` is only said where the desired generation is known."""
    address, state = report.address, report.state
    if state is None:
        return fleet_views.NodeView(
            node=address.node,
            control=address.control,
            rest=address.rest,
            grpc=address.grpc,
            reachable=False,
            error=report.error,
        )
    old = desired_generation is not None and state.generation < desired_generation
    return fleet_views.NodeView(
        node=address.node,
        control=address.control,
        rest=address.rest,
        grpc=address.grpc,
        reachable=True,
        generation=state.generation,
        behind=old or not state.converged,
        ready=state.ready,
        converged=state.converged,
        draining=state.draining,
        memory_bytes=state.memory_bytes,
        leaked_bytes=state.leaked_bytes,
        restarts=state.restarts,
        models=state.models,
        error=state.error,
    )


def replica_view(report: NodeReport, name: str, version: int) -> views.ReplicaView:
    """What one node says of one version of a served name."""
    if report.state is None:
        return views.ReplicaView(node=report.address.node, reachable=False, error=report.error)
    model = report.state.model(name)
    entry = model.state_of(version) if model else None
    return views.ReplicaView(
        node=report.address.node,
        reachable=True,
        generation=report.state.generation,
        version=model.labels.get("stable") if model else None,
        serves=report.state.serves(name, version),
        load_seconds=entry.seconds if entry else None,
        memory_bytes=entry.memory_bytes if entry else None,
        flipped_at=model.flipped_at if model else None,
        error=(entry.error if entry else None) or report.state.error,
    )
