"""The node's answer: composed from what it holds, published on a board that long polls wait at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from roost.contracts.acks import NodeModel, NodeState, NodeVersion, VersionState
from roost.telemetry import metrics
from serving.node.holdings import Holdings
from serving.node.loading import Parts

_NO_LABELS: Final[Mapping[str, int]] = {}


class Board:
    """The newest `NodeState`. Safe for threads."""

    def __init__(self, state: NodeState) -> None:
        self._lock = threading.Lock()
        self._state = state
        self._listeners: set[Callable[[], None]] = set()

    @property
    def state(self) -> NodeState:
        """The newest."""
        with self._lock:
            return self._state

    def publish(self, state: NodeState) -> None:
        """Put up a state, and tell the listeners where it differs from the last."""
        with self._lock:
            differs = state != self._state
            self._state = state
            listeners = tuple(self._listeners) if differs else ()
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener`, from any thread, after each change. Returns what ends that."""
        with self._lock:
            self._listeners.add(listener)

        def forget() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return forget


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the node is, and where its gateway answers."""

    node: str
    pool: str
    rest_address: str
    grpc_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the node itself is, beside what it holds."""

    #: What to serve is known, the model server takes calls, and all that can be done is done (`Holdings.settled`).
    settled: bool
    ready: bool
    draining: bool
    restarts: int
    error: str | None


def state_of(parts: Parts, identity: Identity, standing: Standing, shown: Shown) -> NodeState:
    """The node's whole answer."""
    holdings, resident = parts.holdings, parts.server.resident_bytes()
    failed = any(held.error is not None for held in holdings if held.wanted)
    return NodeState(
        node=identity.node,
        pool=identity.pool,
        generation=holdings.desired.generation,
        settled=standing.settled,
        converged=standing.settled and not failed,
        ready=standing.ready,
        draining=standing.draining,
        models=shown.models(holdings),
        rest_address=identity.rest_address,
        grpc_address=identity.grpc_address,
        model_server_pid=parts.server.pid,
        memory_bytes=resident,
        leaked_bytes=parts.memory.debt(resident),
        models_bytes=parts.memory.charged,
        base_bytes=parts.memory.base,
        restarts=standing.restarts,
        error=standing.error,
    )


class Shown:
    """The models in the node's answer. A pass changes few of them, so the others are kept as they were made."""

    def __init__(self) -> None:
        """Nothing has been made yet."""
        self._last: dict[str, NodeModel] = {}

    def models(self, holdings: Holdings) -> tuple[NodeModel, ...]:
        """Every served name with its versions, by name."""
        by_name: dict[str, list[NodeVersion]] = {}
        for key in sorted(holdings.versions):
            by_name.setdefault(key[0], []).append(holdings.versions[key].shown())
        self._last = {name: self._model(name, tuple(versions), holdings) for name, versions in by_name.items()}
        return tuple(self._last.values())

    def _model(self, name: str, versions: tuple[NodeVersion, ...], holdings: Holdings) -> NodeModel:
        labels, flipped_at = holdings.labels.get(name, _NO_LABELS), holdings.flipped_at.get(name)
        last = self._last.get(name)
        if last is not None and last.versions == versions and last.labels == labels and last.flipped_at == flipped_at:
            return last
        return NodeModel(name=name, versions=versions, labels=dict(labels), flipped_at=flipped_at)


def count(state: NodeState) -> None:
    """Set the gauges to a state."""
    metrics.NODE_GENERATION.set(state.generation)
    metrics.NODE_READY.set(1 if state.ready else 0)
    metrics.NODE_MEMORY.set(state.memory_bytes or 0)
    metrics.NODE_LEAKED.set(state.leaked_bytes or 0)
    metrics.NODE_MODELS_BYTES.set(state.models_bytes or 0)
    metrics.NODE_BASE_BYTES.set(state.base_bytes or 0)
    states = [version.state for model in state.models for version in model.versions]
    for each in VersionState:
        metrics.NODE_MODELS.labels(state=each.value).set(states.count(each))
