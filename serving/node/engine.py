"""The loop that brings the children to the desired state and keeps them there.

Each pass looks at everything and does what is due; nothing in it waits for one version, so that a slow or bad one
holds up no other. One thread runs it for the node's whole life.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from roost.adapters.tf_serving import ReloadTimedOut
from roost.contracts.acks import NodeState
from roost.contracts.errors import ModelServerUnavailable
from roost.contracts.traffic import Answered
from serving.node.ack import Board, Identity, Shown, Standing, count, state_of
from serving.node.answered import read_page
from serving.node.departures import Departures
from serving.node.desired import DesiredWatch
from serving.node.gateway import Gateway
from serving.node.intake import Intake
from serving.node.journal import Journal
from serving.node.labels import Labeller
from serving.node.layout import Layout
from serving.node.loading import Loader, Parts
from serving.node.model_config import ModelEntry
from serving.node.pulse import Pulse
from serving.node.remembrance import Remembrance
from serving.node.steering import Mirrors, Steering
from serving.node.supervision import Supervisor, Tended
from serving.node.turnover import Phase, Turnover

log = logging.getLogger(__name__)

#: Seconds between two looks while nothing is on its way; and at something that is loading.
_IDLE, _QUICK_LOOK, _SLOW_LOOK = 5.0, 0.005, 0.2
#: Calls in a row that a running server may leave unanswered before it counts as wedged.
_UNANSWERED: Final = 3


class Engine:
    """One node's mind. `ask_…` and `wake` are for any thread; all else is for the one that runs it."""

    def __init__(
        self, parts: Parts, gateway: Gateway, watch: DesiredWatch, intake: Intake, *, identity: Identity, layout: Layout
    ) -> None:
        self._parts = parts
        self._gateway = gateway
        self._watch = watch
        self._intake = intake
        self._identity = identity
        self._remembrance = Remembrance(layout.good)
        self._supervisor = Supervisor(parts.server, parts.clock, self._boot)
        self._departures = Departures(parts)
        self._loader = Loader(parts)
        self._loader.leaving = self._departures.names
        self._loader.mending = intake.mend
        self._pulse = Pulse(parts)
        self._labeller = Labeller(parts, self._departures)
        self._turnover = Turnover(gateway, parts.clock)
        #: What the canary asks to be mirrored; whoever changes it wakes the engine.
        self.mirrors = Mirrors(parts.clock)
        self._steering = Steering(gateway, parts.holdings, self.mirrors, parts.clock)
        self._woken = threading.Event()
        self._up = self._gateway_up = self._served = self._settled = False
        #: Seconds since the server was last asked to load something that is still loading.
        self._loading: float | None = None
        self._unanswered = 0
        self._shown = Shown()
        self.board = Board(self._state())
        self.journal = Journal(layout.changes)

    def wake(self) -> None:
        """Have the next pass now."""
        self._woken.set()

    def ask_drain(self) -> None:
        """Stop being ready and finish what is under way."""
        self._turnover.ask(restart=False)
        self.wake()

    def ask_back(self) -> bool:
        """Take a drain back. Returns False where a restart is under way."""
        taken = self._turnover.ask_back()
        self.wake()
        return taken

    def ask_restart(self) -> None:
        """The same, and come back with a fresh model server."""
        self._turnover.ask(restart=True)
        self.wake()

    def answered(self, name: str) -> Answered:
        """What the model server has answered under a served name. For any thread. Raises `ModelServerUnavailable`."""
        server = self._parts.server
        return read_page(server.metrics_page(), name, server.pid or 0)

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop`, then drain and end the children. `stop` alone does not wake it: call `wake` too."""
        self.seed()
        self._watch.start()
        while not stop.is_set():
            self.turn()
        self._end()

    def turn(self) -> None:
        """One pass, and the wait for the next."""
        self._parts.clock.wait(self.step(), self._woken)
        self._woken.clear()

    def step(self) -> float:
        """One pass. Returns seconds until the next is due, unless woken."""
        desired = self._watch.current
        if desired is not self._parts.holdings.desired:
            self._parts.holdings.take_up(desired, now=self._parts.clock.monotonic())
            self._parts.notes.note("generation taken up", detail=desired.reason or None)
        self._intake.advance()
        self._turnover.advance(self._refresh)
        self._steering.follow()
        self._tend_server()
        self._steering.follow()
        judged = self._judge()
        was_up = self._gateway_up
        self._gateway_up = self._served_once() and self._gateway.tend()
        if self._gateway_up and not was_up:
            self._turnover.gateway_came_up()
        if self._gateway_up and self._served:
            self._turnover.returned()
        self.publish()
        if judged:
            self._remembrance.keep(self._parts.holdings)
        # Last, when everybody has been told: to ask the gateway takes some milliseconds.
        self._parts.pace.look(busy=self._up and self._loader.busy)
        return self._pause()

    def publish(self) -> None:
        """Put the state on the board."""
        state = self._state()
        if state != self.board.state:
            count(state)
        self.journal.add(self._parts.notes.take())
        self.board.publish(state)

    def seed(self) -> None:
        """Begin with what an earlier life of the node had proved."""
        now = self._parts.clock.monotonic()
        self._remembrance.recall(self._parts.holdings, self._parts.cache, now=now)
        self._parts.holdings.take_up(self._watch.current, now=now)
        # The bound may be lower than in the life before.
        self._parts.cache.trim()
        kept = sum(held.trusted for held in self._parts.holdings)
        self._parts.notes.note("node started", detail=f"with {kept} versions from its disk")

    def _boot(self) -> Sequence[ModelEntry]:
        holdings = self._parts.holdings
        self._loader.inspect([held for held in holdings if held.trusted])
        return holdings.entries(self._parts.cache, lambda held: held.trusted and not held.alone, holdings.boot_labels)

    def _tend_server(self) -> None:
        tended = self._supervisor.tend()
        if tended is Tended.LOST:
            self._lost(tended)
        if tended is Tended.CAME_UP:
            self._up, self._unanswered = True, 0
            self._parts.holdings.came_up(self._supervisor.booted, now=self._parts.clock.monotonic())
            self._weigh()
        if not self._up:
            return
        try:
            self._converge()
            self._unanswered = 0
        except ReloadTimedOut as error:
            self._lost(self._supervisor.replace("wedged", str(error), at_once=True), what="hung")
        except ModelServerUnavailable as error:
            self._unanswered += 1
            if self._unanswered >= _UNANSWERED:
                self._lost(self._supervisor.replace("unanswering", str(error), at_once=True), what="hung")

    def _converge(self) -> None:
        # Labels first: what is proved must not wait behind a load. And again after, for what has just been proved.
        self._labeller.move()
        self._loader.start()
        self._loading = self._loader.watch()
        if self._loader.came:
            self._labeller.move()
        if self._labeller.error is not None or not self._pulse.beat():
            self._loader.audit()
        if self._labeller.unload():
            self._parts.cache.trim()
        self._departures.watch(loading=self._loading is not None)

    def _weigh(self) -> None:
        """Book what a fresh server was started on, each version at what it took before, or at its bytes on disk."""
        parts = self._parts
        loaded = [held for held in parts.holdings if held.loaded]
        sizes = {held.key: held.memory_bytes or parts.cache.bytes_of(held.key) for held in loaded}
        parts.memory.started(parts.server.resident_bytes(), sizes)

    def _refresh(self) -> None:
        self._gateway_up = False
        self._lost(self._supervisor.replace("restart", "asked for", at_once=False))

    def _lost(self, _: Tended, what: str = "died") -> None:
        was_up, self._up, self._served = self._up, False, False
        self._departures.lose_server()
        self._parts.notes.note("model server replaced", detail=self._supervisor.cause)
        suspects = self._parts.holdings.lose_server()
        if was_up and self._turnover.phase is not Phase.RETURNING:
            self._loader.blame(suspects, what)
        self.wake()

    def _judge(self) -> bool:
        self._settled = self._up and self._watch.answered and self._parts.holdings.settled()
        if not self._settled:
            return False
        self._served = self._served or not any(held.ours_to_blame for held in self._parts.holdings if held.wanted)
        return True

    def _served_once(self) -> bool:
        # A new node's gateway starts when there is something behind it; later it stays, and bridges short gaps.
        return self._served or self._gateway_up

    def _pause(self) -> float:
        waits = [self._supervisor.seconds_to_next(), self._intake.seconds_to_next(), self._steering.seconds_to_next()]
        if self._up and self._loading is not None:
            # A load of milliseconds is seen within some, one of minutes costs little to watch.
            waits.append(min(_SLOW_LOOK, max(_QUICK_LOOK, self._loading / 20)))
        waits.append(0.05 if self._served and not self._gateway_up else None)
        waits.append(0.05 if self._turnover.busy else None)
        waits.append(0.1 if self._departures.waiting or self._parts.pace.holding else None)
        waits.append(0.2 if self._parts.holdings.left_stable or self._labeller.error or self._unanswered else None)
        return min(wait for wait in [*waits, _IDLE] if wait is not None)

    def _state(self) -> NodeState:
        draining = self._turnover.phase is not Phase.SERVING
        standing = Standing(
            settled=self._settled and self._up,
            ready=self._up and self._served and self._gateway_up and not draining,
            draining=draining,
            restarts=self._supervisor.restarts,
            error=self._error(),
        )
        return state_of(self._parts, self._identity, standing, self._shown)

    def _error(self) -> str | None:
        down = None if self._up else self._supervisor.cause
        return self._watch.error or self._labeller.error or self._intake.error or down

    def _end(self) -> None:
        if self._turnover.phase is Phase.SERVING and self._gateway_up:
            self._turnover.begin()
            self.publish()
            while not self._turnover.quiet():
                self._parts.clock.wait(0.05)
        self._gateway.stop()
        self._supervisor.stop()
