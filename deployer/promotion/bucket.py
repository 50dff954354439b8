"""A token bucket: an object store takes about one write per second to one object, and a short burst."""

from __future__ import annotations

from typing import Final

from roost.ports.clock import Clock

_BURST: Final = 2.0
#: For the sake of floating point: waiting exactly as told is always enough.
_HAIR: Final = 1e-6


class TokenBucket:
    """Two writes at once, then one per `interval` seconds. One thread at a time."""

    def __init__(self, clock: Clock, interval: float) -> None:
        """`interval` 0 never makes anybody wait."""
        self._clock = clock
        self._interval = interval
        self._tokens = _BURST
        self._seen = clock.monotonic()

    def wait_seconds(self, tokens: float = 1.0) -> float:
        """How long until there are so many tokens; 0 now."""
        self._refill()
        missing = tokens - self._tokens
        return missing * self._interval if missing > _HAIR else 0.0

    def take(self) -> None:
        """Spend one token. May go below zero: a write that went out without leave is paid for later."""
        self._refill()
        self._tokens -= 1.0

    def _refill(self) -> None:
        now = self._clock.monotonic()
        gained = _BURST if self._interval <= 0 else (now - self._seen) / self._interval
        self._tokens = min(_BURST, self._tokens + gained)
        self._seen = now
