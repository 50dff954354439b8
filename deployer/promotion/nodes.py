"""The nodes of one pool: nudged and asked side by side; those that do not answer rest for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from roost.contracts.acks import NodeState
from roost.contracts.errors import NodeUnavailable
from roost.ports.clock import Clock
from roost.ports.serving import NodeAddress, NodeControl, NodeDirectory

log = logging.getLogger(__name__)

#: How long a control port may take to answer at once.
_ANSWER_SECONDS: Final = 2.0
#: A node that did not answer is left alone, twice as long each time.
_REST_SECONDS: Final = 1.0
_REST_LIMIT: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a pool."""

    #: Nodes that count in a promotion, with their addresses.
    counted: tuple[tuple[NodeAddress, NodeState], ...]
    #: Names of those that do not: down, not ready yet, draining.
    absent: tuple[str, ...]

    @property
    def states(self) -> tuple[NodeState, ...]:
        """States of the nodes that count."""
        return tuple(state for _, state in self.counted)


@dataclass(slots=True)
class _Rest:
    until: float
    seconds: float


class PoolNodes:
    """Talks to all nodes of a pool. One thread at a time; the nodes are asked concurrently."""

    def __init__(
        self, pool: str, directory: NodeDirectory, control: NodeControl, clock: Clock, askers: ThreadPoolExecutor
    ) -> None:
        self.pool = pool
        self._directory = directory
        self._control = control
        self._clock = clock
        self._askers = askers
        self._resting: dict[str, _Rest] = {}
        #: Node to its count of restarts when it was last ready: loading a new version does not make it absent.
        self._was_ready: dict[str, int] = {}

    def nudge_and_wait(self, generation: int, seconds: float) -> Seen:
        """Tell every node of `generation` and wait until each has settled it, at most that long."""

        def ask(node: NodeAddress) -> NodeState:
            self._control.nudge(node, generation, deadline=_ANSWER_SECONDS)
            return self._control.await_settled(node, generation, deadline=seconds)

        return self._look(ask)

    def wait(self, generation: int, seconds: float) -> Seen:
        """Wait until each node has settled `generation`, at most that long."""
        return self._look(lambda node: self._control.await_settled(node, generation, deadline=seconds))

    def look(self) -> Seen:
        """What every node says now."""
        return self._look(lambda node: self._control.state(node, deadline=_ANSWER_SECONDS))

    def nudge(self, names: Sequence[str], generation: int) -> None:
        """Nudge these nodes; those that do not answer find out by themselves."""
        for node in self._directory.nodes(self.pool):
            if node.node in names and self._awake(node):
                try:
                    self._control.nudge(node, generation, deadline=_ANSWER_SECONDS)
                except NodeUnavailable as error:
                    self._rest(node, error)

    def stands(self, node: NodeAddress, restarts: int) -> bool:
        """Whether that very node answers, takes requests and has the model server that it had then. For any thread."""
        try:
            state = self._control.state(node, deadline=_ANSWER_SECONDS)
        except NodeUnavailable:
            return False
        return state.node == node.node and not state.draining and state.restarts == restarts

    def _look(self, ask: Callable[[NodeAddress], NodeState]) -> Seen:
        try:
            known = self._directory.nodes(self.pool)
        except NodeUnavailable as error:
            log.warning("pool %s cannot be listed: %s", self.pool, error, extra={"action": "nodes"})
            return Seen(counted=(), absent=())
        awake = [node for node in known if self._awake(node)]
        answers = list(self._askers.map(lambda node: self._asked(node, ask), awake))
        counted = tuple(
            (node, state)
            for node, state in zip(awake, answers, strict=True)
            if state is not None and self._counts(node, state)
        )
        present = {node.node for node, _ in counted}
        return Seen(counted=counted, absent=tuple(node.node for node in known if node.node not in present))

    def _asked(self, node: NodeAddress, ask: Callable[[NodeAddress], NodeState]) -> NodeState | None:
        try:
            state = ask(node)
        except NodeUnavailable as error:
            self._rest(node, error)
            return None
        self._resting.pop(node.node, None)
        return state

    def _counts(self, node: NodeAddress, state: NodeState) -> bool:
        if state.draining:
            self._was_ready.pop(node.node, None)
            return False
        if state.ready:
            self._was_ready[node.node] = state.restarts
        return self._was_ready.get(node.node) == state.restarts

    def _awake(self, node: NodeAddress) -> bool:
        rest = self._resting.get(node.node)
        return rest is None or rest.until <= self._clock.monotonic()

    def _rest(self, node: NodeAddress, error: NodeUnavailable) -> None:
        before = self._resting.get(node.node)
        seconds = min(_REST_LIMIT, before.seconds * 2) if before else _REST_SECONDS
        self._resting[node.node] = _Rest(until=self._clock.monotonic() + seconds, seconds=seconds)
        self._was_ready.pop(node.node, None)
        if before is None:
            log.warning("node %s does not answer: %s", node.node, error, extra={"action": "node_down"})
