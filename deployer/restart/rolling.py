"""The rolling restart of one pool."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol

from deployer.domain.transitions import SOURCE
from deployer.restart import choice
from deployer.restart.roll import Roll
from roost.contracts.acks import NodeState
from roost.contracts.cloudevents import Event
from roost.contracts.desired import DesiredState
from roost.contracts.errors import ClusterRefused, NodeUnavailable, NotFound, Permanent
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.ids import desired_object
from roost.contracts.policy import RestartPolicy
from roost.ports.clock import Clock
from roost.ports.ledger import Leases, Outbox
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress, NodeControl, NodeDirectory, PoolWorkload

log = logging.getLogger(__name__)

_ANSWER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
_LEASE_SECONDS: Final = 60.0


class RestartRefused(Permanent):
    """The restart was not begun, or not gone on with. The text names the node and the reason."""


class RestartLedger(Outbox, Leases, Protocol):
    """What the restart needs of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The pool's nodes, and where its desired state is."""

    pool: str
    directory: NodeDirectory
    control: NodeControl
    store: ObjectStore
    #: A pool that serves nobody may lose its only node for a moment: the canary pool.
    spare: bool = False
    #: Where a cluster keeps the pool's pods; None where the nodes are asked one at a time.
    workload: PoolWorkload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run: why, whom it takes, and how long a node may be away."""

    reason: str
    always: bool
    policy: RestartPolicy
    node_seconds: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class RollingRestart:
    """Restarts nodes one at a time. Each waits for the one before to serve everything again."""

    def __init__(self, fleet: Fleet, ledger: RestartLedger, clock: Clock) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._clock = clock

    def run(self, order: Order, stop: threading.Event) -> tuple[str, ...]:
        """Restart whom the policy chooses. Returns the nodes that were restarted, in order.

        Raises:
            RestartRefused: before the first node, or after the one that did not come back. Reported as an event.
            Retryable: a dependency does not answer.
        """
        lease = f"restart/{self._fleet.pool}"
        if not self._ledger.acquire(lease, owner=order.id, seconds=_LEASE_SECONDS + order.node_seconds):
            raise RestartRefused(f"another restart of pool {self._fleet.pool} is under way")
        try:
            return self._run(order, stop)
        finally:
            self._ledger.drop(lease, owner=order.id)

    def _run(self, order: Order, stop: threading.Event) -> tuple[str, ...]:
        desired = self._desired()
        states = self._asked(order)
        chosen = self._chosen(states, desired, order)
        if not chosen:
            log.info("no node of pool %s needs a restart", self._fleet.pool, extra={"action": "restart_none"})
            return ()
        bad = choice.bad_entry([state for _, state in states], desired)
        if bad is not None:
            self._refuse(order, (), f"The boot test cannot pass: {bad}.")
        names = [node.node for node, _ in chosen]
        self._report(order, "restart.started", f"{order.reason}: {', '.join(names)}.", nodes=names)
        if self._fleet.workload is not None:
            return self._roll(order, self._fleet.workload, stop)
        done: list[str] = []
        for node, _ in chosen:
            if stop.is_set():
                self._refuse(order, done, "The restart was told to stop.")
            self._one(order, node, done)
            done.append(node.node)
        self._report(order, "restart.finished", f"{order.reason}: {len(done)} restarted.", nodes=done)
        return tuple(done)

    def _roll(self, order: Order, workload: PoolWorkload, stop: threading.Event) -> tuple[str, ...]:
        """Every pod is replaced, since they are made from one template; the first new one is the boot test."""
        pool = self._fleet.pool
        seconds = _LEASE_SECONDS + order.node_seconds

        def hold() -> None:
            self._ledger.acquire(f"restart/{pool}", owner=order.id, seconds=seconds)

        roll = Roll(workload=workload, pool=pool, clock=self._clock, pod_seconds=order.node_seconds, hold=hold)
        try:
            trouble = roll.run(order.id, stop)
        except ClusterRefused as error:
            trouble = str(error)
        if trouble is not None:
            self._refuse(order, (), f"The roll of pool {pool} did not finish; its old pods go on serving: {trouble}.")
        names = [node.node for node in self._fleet.directory.nodes(pool)]
        self._report(order, "restart.finished", f"{order.reason}: {len(names)} replaced.", nodes=names)
        return tuple(names)

    def _one(self, order: Order, node: NodeAddress, done: Sequence[str]) -> None:
        desired, states = self._desired(), self._states()
        before = next((state for address, state in states if address.node == node.node), None)
        known = [address.node for address in self._fleet.directory.nodes(self._fleet.pool)]
        missing = choice.in_the_way([state for _, state in states], known, node.node)
        if before is None:
            self._refuse(order, done, f"Node {node.node} does not answer.")
        if missing is not None:
            self._refuse(order, done, f"Node {missing} is not ready: restarting {node.node} would cost capacity.")
        if len(known) == 1 and not self._fleet.spare:
            self._refuse(order, done, f"{node.node} is the pool's only node: its restart would be an outage.")
        self._restart(order, node, before, desired, done)

    def _restart(
        self, order: Order, node: NodeAddress, before: NodeState, desired: DesiredState, done: Sequence[str]
    ) -> None:
        started = self._clock.monotonic()
        try:
            self._fleet.control.restart(node, deadline=_ANSWER_SECONDS)
        except NodeUnavailable as error:
            self._refuse(order, done, f"Node {node.node} did not take the order: {error}.")
        state = self._await(node, before, desired.generation, order.node_seconds)
        if state is None or not choice.came_back(before, state, desired.generation):
            test = "The boot test failed. " if not done else ""
            found = "it does not answer" if state is None else choice.trouble(state, desired)
            sentence = f"{test}Node {node.node} did not come back within {order.node_seconds:g} s: {found}."
            self._refuse(order, done, sentence)
        log.info(
            "node %s restarted in %.1f s",
            node.node,
            self._clock.monotonic() - started,
            extra={"action": "restarted", "generation": desired.generation},
        )

    def _await(self, node: NodeAddress, before: NodeState, generation: int, seconds: float) -> NodeState | None:
        """The node's state once it is back, or its last answer at the deadline."""
        until, state = self._clock.monotonic() + seconds, None
        while self._clock.monotonic() < until:
            try:
                state = self._fleet.control.state(node, deadline=_ANSWER_SECONDS)
            except NodeUnavailable:
                state = None
            if state is not None and choice.came_back(before, state, generation):
                return state
            self._clock.wait(_POLL_SECONDS)
        return state

    def _chosen(
        self, states: Sequence[tuple[NodeAddress, NodeState]], desired: DesiredState, order: Order
    ) -> list[tuple[NodeAddress, str]]:
        chosen = []
        for node, state in states:
            reason = choice.why(state, desired.generation, order.policy, always=order.always)
            if reason is not None:
                chosen.append((node, reason))
        # What is ill already goes first: as a boot test it risks nothing that works.
        return sorted(chosen, key=lambda one: (one[1] == "every node is restarted", one[0].node))

    def _asked(self, order: Order) -> list[tuple[NodeAddress, NodeState]]:
        """What the nodes say. A pool that is not there, or of which nobody answers, is no pool without a need."""
        pool, workload = self._fleet.pool, self._fleet.workload
        try:
            pods = workload.status(pool).desired if workload is not None else None
        except ClusterRefused as error:
            self._refuse(order, (), f"Pool {pool} cannot be rolled: {error}.")
        if pods == 0:
            return []
        states = self._states()
        if not states:
            known = len(self._fleet.directory.nodes(pool))
            found = f"none of its {known} nodes answers" if known else "it has no node"
            self._refuse(order, (), f"Pool {pool}: {found}. Is the name right? `roost doctor` asks the pool's nodes.")
        return states

    def _states(self) -> list[tuple[NodeAddress, NodeState]]:
        found = []
        for node in self._fleet.directory.nodes(self._fleet.pool):
            try:
                found.append((node, self._fleet.control.state(node, deadline=_ANSWER_SECONDS)))
            except NodeUnavailable as error:
                log.warning("node %s does not answer: %s", node.node, error, extra={"action": "node_down"})
        return found

    def _desired(self) -> DesiredState:
        try:
            return DesiredState.decoded(self._fleet.store.read(desired_object(self._fleet.pool))[0])
        except NotFound:
            return DesiredState.empty(self._fleet.pool)

    def _refuse(self, order: Order, done: Sequence[str], reason: str) -> NoReturn:
        self._report(order, "restart.refused", reason, nodes=list(done))
        raise RestartRefused(reason)

    def _report(self, order: Order, what: str, reason: str, *, nodes: Sequence[str]) -> None:
        payload = OperationReported(
            what=what, pool=self._fleet.pool, actor="restart", reason=reason, facts={"nodes": list(nodes)}
        )
        event = Event(
            id=f"{order.id}-{what}",
            type=OPERATION_REPORTED,
            source=SOURCE,
            subject=self._fleet.pool,
            time=self._clock.now(),
            data=payload,
        )
        self._ledger.add_events([event])
