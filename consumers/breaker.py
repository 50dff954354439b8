"""The breaker: when nearly all that comes is poison, the fault is more likely ours than theirs."""

from __future__ import annotations

from collections import deque
from typing import Final

from roost.ports.clock import Clock

#: Outcomes remembered, how many must be there before the breaker judges, and the share of poison that opens it.
WINDOW: Final = 50
JUDGED_FROM: Final = 20
POISON_SHARE: Final = 0.9
#: Seconds that it stays open, doubled each time the trial event was poison too. Below the time after which a
#: member that does not poll leaves its group.
FIRST_PAUSE: Final = 15.0
LONGEST_PAUSE: Final = 120.0


class Breaker:
    """Closed: events pass. Open: none pass until the pause is over; then one does, as a trial.

    So a bad release cannot drain a topic into the dead letters: after `JUDGED_FROM` of them, one a pause.
    """

    def __init__(self, clock: Clock) -> None:
        """Closed, nothing remembered."""
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._pause = FIRST_PAUSE
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has opened and no good event has come since."""
        return self._open_until is not None

    def seconds_to_wait(self) -> float:
        """Until the next event may pass; 0 where it may now."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock.monotonic())

    def good(self) -> None:
        """An event was handled: closed again, if it was open."""
        if self.is_open:
            self._open_until = None
            self._pause = FIRST_PAUSE
            self._outcomes.clear()
        self._outcomes.append(False)

    def poison(self) -> None:
        """An event went to the dead letters. May open."""
        self._outcomes.append(True)
        if self.is_open:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
            self._open_until = self._clock.monotonic() + self._pause
        elif len(self._outcomes) >= JUDGED_FROM and sum(self._outcomes) >= POISON_SHARE * len(self._outcomes):
            self._open_until = self._clock.monotonic() + self._pause
