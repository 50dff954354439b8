"""A clock that moves only when it is told to, or when somebody waits on it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """Both clocks move together by `advance`. Waiting advances them at once, so that no test sleeps."""

    def __init__(self, start: datetime = START) -> None:
        """Begin at `start`, which must be aware."""
        self._now = start
        self._monotonic = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The instant that was set."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += max(0.0, seconds)

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Let that much time pass at once, unless `stop` is set. Returns whether it is."""
        if stop is not None and stop.is_set():
            return True
        self.advance(max(0.0, seconds))
        return stop is not None and stop.is_set()
