"""Loops: one thread each, woken by a bell, backing off while a dependency is away. A bug ends the whole process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from roost.contracts.errors import Conflict, Retryable
from roost.ports.clock import Clock
from roost.ports.ledger import Leases, Wakeups

log = logging.getLogger(__name__)

#: First and longest pause after a dependency did not answer, seconds.
_BACK_OFF: Final = (0.2, 5.0)
#: A conflict means that somebody else made progress: look again almost at once.
_LOST_RACE: Final = 0.02
_LISTEN: Final = 1.0

#: Seconds until the next step is due: 0 at once, None when the bell rings.
Step = Callable[[], float | None]


class Bell:
    """Rung by any thread, heard by one loop. A ring that nobody waits for is not lost."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Let the loop look."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Until it rings, at most that long."""
        self._event.wait(seconds)
        self._event.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A named lease that a loop holds while it works. For efficiency: two holders would only be in each other's way."""

    leases: Leases
    name: str
    owner: str
    seconds: float
    #: Called when it was gained after others may have held it: what is remembered of their domain is stale.
    gained: Callable[[], None] = lambda: None


class Loop:
    """Repeats a step until it is told to stop."""

    def __init__(
        self, name: str, step: Step, bell: Bell, clock: Clock, *, idle: float, lease: Lease | None = None
    ) -> None:
        """`idle`: longest wait for the bell, for what nobody rings for."""
        self.name = name
        #: What keeps it from working now; None where nothing does.
        self.trouble: str | None = None
        self._step = step
        self._bell = bell
        self._clock = clock
        self._idle = idle
        self._lease = lease
        self._held_until = 0.0
        self._lapses_at = 0.0
        self._pause = _BACK_OFF[0]

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Whatever a step raises beside `Retryable` and `Conflict` escapes."""
        try:
            while not stop.is_set():
                seconds = self._once()
                if seconds is None or seconds > 0:
                    self._bell.wait(self._idle if seconds is None else min(seconds, self._idle))
        finally:
            self._let_go()

    def _once(self) -> float | None:
        try:
            if not self._hold():
                return self._lease.seconds / 3 if self._lease else None
            seconds = self._step()
        except Conflict as error:
            log.info("%s looks again: %s", self.name, error, extra={"action": "lost_race"})
            return _LOST_RACE
        except Retryable as error:
            return self._troubled(error)
        if self.trouble is not None:
            log.info("%s goes on", self.name, extra={"action": "recovered"})
        self.trouble, self._pause = None, _BACK_OFF[0]
        return seconds

    def _troubled(self, error: Retryable) -> float:
        if self.trouble is None:
            log.warning("%s waits: %s", self.name, error, extra={"action": "waits"})
        self.trouble = str(error)
        pause, self._pause = self._pause, min(self._pause * 2, _BACK_OFF[1])
        return pause

    def _hold(self) -> bool:
        """Whether the lease is ours; asked for again once a third of it is over."""
        lease = self._lease
        if lease is None or self._clock.monotonic() < self._held_until:
            return True
        asked = self._clock.monotonic()
        held = lease.leases.acquire(lease.name, owner=lease.owner, seconds=lease.seconds)
        if held and asked >= self._lapses_at:
            lease.gained()
        self._held_until = asked + lease.seconds / 3 if held else 0.0
        self._lapses_at = asked + lease.seconds if held else 0.0
        return held

    def _let_go(self) -> None:
        lease = self._lease
        if lease is None or self._held_until == 0.0:
            return
        try:
            lease.leases.drop(lease.name, owner=lease.owner)
        except Retryable as error:
            log.info("lease %s is left to expire: %s", lease.name, error, extra={"action": "lease_left"})


def listen(wakeups: Wakeups, bells: Mapping[str, Sequence[Bell]]) -> Step:
    """A step that rings the bells of each channel that was notified."""

    def step() -> float:
        try:
            channels = wakeups.wait(_LISTEN)
        except Retryable:
            # What happens until the connection is back is unknown: let everybody look now and then.
            channels = frozenset(bells)
            raise
        finally:
            for channel in channels:
                for bell in bells.get(channel, ()):
                    bell.ring()
        return 0.0

    return step


class Threads:
    """Runs loops side by side. If one dies of a bug, all stop, and the bug is raised in the caller's thread."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops
        self._failures: list[BaseException] = []

    def troubles(self) -> dict[str, str | None]:
        """Each loop's trouble, for `/readyz`."""
        return {loop.name: loop.trouble for loop in self._loops}

    def run(self, stop: threading.Event, wake: Callable[[], None]) -> None:
        """Until `stop`; `wake` rings every bell, so that each loop sees it at once."""
        threads = [threading.Thread(target=self._guarded, args=(loop, stop), name=loop.name) for loop in self._loops]
        for thread in threads:
            thread.start()
        stop.wait()
        wake()
        for thread in threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _guarded(self, loop: Loop, stop: threading.Event) -> None:
        try:
            loop.run(stop)
        except BaseException as error:  # noqa: BLE001 (raised again by `run`, in the caller's thread)
            log.error("%s died: %r", loop.name, error, extra={"action": "died"})  # noqa: TRY400 (its traceback follows)
            self._failures.append(error)
            stop.set()
