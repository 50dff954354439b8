"""The deployer's loops: which there are, what wakes each, which hold a lease, and which need a ledger to be trusted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from deployer.promotion.canary_pool import CanaryPool
from deployer.promotion.desired_store import DesiredStore
from deployer.promotion.fence import Fence
from deployer.promotion.nodes import PoolNodes
from deployer.promotion.promoter import Promoter
from deployer.promotion.reconciler import Reconciler
from deployer.restart.record import RestartRecord
from deployer.rollout.canary import CanaryJudge
from deployer.rollout.census import Census
from deployer.rollout.commands import Commands
from deployer.rollout.controller import Controller
from deployer.rollout.copying import Copier
from deployer.rollout.loop import Bell, Lease, Loop, Step, Threads, listen
from deployer.rollout.parts import Parts
from deployer.rollout.policy_watch import PolicyWatch
from deployer.rollout.relay import Relay
from deployer.rollout.retention import Retention
from deployer.rollout.workers import Worker
from roost.contracts.errors import DatabaseUnavailable
from roost.policy_file import PolicyInForce
from roost.ports.event_bus import EventPublisher
from roost.ports.ledger import Wakeups
from roost.ports.serving import NodeControl, NodeDirectory, Predictor, Traffic
from roost.settings import Settings

_COPIERS: Final = 8
_JUDGES: Final = 4
#: Each judge reads four objects at a time.
_READERS: Final = 4 * _JUDGES
_ASKERS: Final = 32
#: Longest wait of a loop that nobody woke. Rows become due by time alone; commands and events never do.
_WORKER_IDLE: Final = 1.0
_IDLE: Final = 5.0


class NodesAsked(NodeControl, Traffic, Protocol):
    """All that the deployer asks of nodes: one adapter implements it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How nodes are found, asked, and predicted with."""

    directory: NodeDirectory
    control: NodesAsked
    predictor: Predictor


class Deployer:
    """All loops over one set of adapters: those of `deployer.wiring`, or a test's."""

    def __init__(
        self, settings: Settings, parts: Parts, *, serving: Serving, publisher: EventPublisher, wakeups: Wakeups
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._serving = serving
        self._pools: list[ThreadPoolExecutor] = []
        self._bells: list[Bell] = []
        self._stopping = threading.Event()
        pools = (settings.serving.pool, settings.serving.canary_pool)
        #: What keeps a word of the policy, and is told when it changes.
        self._follows: list[Callable[[], None]] = []
        self._fence = Fence(parts.ledger, parts.store, pools)
        self._threads = Threads(self._loops(publisher, wakeups))

    def troubles(self) -> dict[str, str | None]:
        """What keeps each loop from working; None where nothing does."""
        return self._threads.troubles()

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Raises whatever a loop died of."""
        try:
            self._threads.run(stop, self._ring_all)
        finally:
            self._stopping.set()
            for pool in self._pools:
                pool.shutdown(cancel_futures=True)

    def _loops(self, publisher: EventPublisher, wakeups: Wakeups) -> list[Loop]:
        parts, serving = self._parts, self._settings.serving
        workers = [self._bell() for _ in range(self._settings.deployer.workers)]
        commands, relay, pool, canary = (self._bell() for _ in range(4))
        handle, publish = Commands(parts), Relay(parts, publisher)
        bells = {"rollouts": [*workers, pool, canary], "commands": [commands], "outbox": [relay], "onboarding": [pool]}
        return [
            Loop("listener", listen(wakeups, bells), self._bell(), parts.clock, idle=_IDLE),
            *self._workers(workers),
            self._leased("commands", self._fenced(_busy(handle.step)), commands),
            self._leased("relay", _busy(publish.step), relay),
            self._promoter(pool),
            self._canary(canary),
            *(self._reconciler(name) for name in (serving.pool, serving.canary_pool)),
            self._repeated("census", Census(parts).step),
            self._repeated("restarts", self._restarts().step),
            self._retention(),
            *self._policy(),
        ]

    def _workers(self, bells: list[Bell]) -> list[Loop]:
        controller = Controller(self._parts, self._executor(_COPIERS))
        loops = []
        for index, bell in enumerate(bells):
            name = f"{self._parts.owner}/{index}"
            worker = Worker(self._parts, controller, name=name, lease_seconds=self._settings.deployer.lease_seconds)
            step = self._fenced(_busy(worker.step))
            loops.append(Loop(f"worker-{index}", step, bell, self._parts.clock, idle=_WORKER_IDLE))
        return loops

    def _promoter(self, bell: Bell) -> Loop:
        pool = self._settings.serving.pool
        desired = self._written(pool)
        promoter = Promoter(self._parts, desired, self._nodes(pool))
        step = self._fenced(lambda: promoter.step().wait_seconds)
        return self._leased(f"pool/{pool}", step, bell, promoter.take_over)

    def _canary(self, bell: Bell) -> Loop:
        pool = self._settings.serving.canary_pool
        desired = self._written(pool)
        # Pools end in this order: a judge under way still finds its readers.
        judges, readers = self._executor(_JUDGES), self._executor(_READERS)
        copier = Copier(
            directory=self._serving.directory,
            traffic=self._serving.control,
            clock=self._parts.clock,
            stopping=self._stopping,
        )
        judge = CanaryJudge(self._parts, self._serving.predictor, readers, copier)
        canary = CanaryPool(self._parts, desired, self._nodes(pool), judge.judge, judges)
        canary.on_judged = bell.ring
        step = self._fenced(lambda: canary.step().wait_seconds)
        return self._leased(f"pool/{pool}", step, bell, desired.forget)

    def _reconciler(self, pool: str) -> Loop:
        reconciler = Reconciler(self._desired(pool), self._nodes(pool), self._parts.policy.restart)
        self._follows.append(lambda: setattr(reconciler, "restart", self._parts.policy.restart))
        return self._repeated(f"reconciler/{pool}", reconciler.step)

    def _restarts(self) -> RestartRecord:
        parts, serving = self._parts, self._settings.serving
        return RestartRecord(
            parts.ledger, parts.clock, (serving.pool, serving.canary_pool), lambda: parts.policy.restart
        )

    def _retention(self) -> Loop:
        retention = Retention(self._parts, timedelta(days=self._settings.deployer.retention_days))
        return self._leased("retention", self._fenced(retention.step), self._bell())

    def _policy(self) -> list[Loop]:
        """Looks at the policy's file, where it is one of a file."""
        policy = self._parts.policy
        if not isinstance(policy, PolicyInForce):
            return []
        return [self._repeated("policy", PolicyWatch(self._parts, policy, self._follows).step)]

    def _fenced(self, step: Step) -> Step:
        """The step, where the ledger knows what serves; one that knows less is not acted on."""

        def checked() -> float | None:
            try:
                self._fence.check()
                return step()
            except DatabaseUnavailable:
                # What comes back may be a backup.
                self._fence.doubt()
                raise

        return checked

    def _repeated(self, name: str, step: Callable[[], object]) -> Loop:
        seconds = self._settings.deployer.reconcile_seconds

        def every() -> float:
            step()
            return seconds

        return Loop(name, every, self._bell(), self._parts.clock, idle=seconds)

    def _desired(self, pool: str) -> DesiredStore:
        interval = self._settings.deployer.write_interval_seconds
        return DesiredStore(pool, self._parts.store, self._parts.clock, interval, self._parts.policy.loading(pool))

    def _written(self, pool: str) -> DesiredStore:
        desired = self._desired(pool)
        desired.fence = self._fence
        self._follows.append(lambda: setattr(desired, "loading", self._parts.policy.loading(pool)))
        return desired

    def _nodes(self, pool: str) -> PoolNodes:
        return PoolNodes(
            pool, self._serving.directory, self._serving.control, self._parts.clock, self._executor(_ASKERS)
        )

    def _leased(self, name: str, step: Step, bell: Bell, gained: Callable[[], None] = lambda: None) -> Loop:
        lease = Lease(
            leases=self._parts.ledger,
            name=f"deployer/{name}",
            owner=self._parts.owner,
            seconds=self._settings.deployer.loop_lease_seconds,
            gained=gained,
        )
        return Loop(name, step, bell, self._parts.clock, idle=_IDLE, lease=lease)

    def _executor(self, threads: int) -> ThreadPoolExecutor:
        self._pools.append(ThreadPoolExecutor(threads))
        return self._pools[-1]

    def _bell(self) -> Bell:
        self._bells.append(Bell())
        return self._bells[-1]

    def _ring_all(self) -> None:
        for bell in self._bells:
            bell.ring()


def _busy(step: Callable[[], bool]) -> Callable[[], float | None]:
    """Again at once while there was something to do."""
    return lambda: 0.0 if step() else None
