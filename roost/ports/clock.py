"""Time. Code that waits or stamps gets a `Clock`, so that tests need no sleep."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock for stamps, monotonic clock for deadlines."""

    def now(self) -> datetime:
        """Current instant, aware, in UTC. May jump; never measure a duration with it."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait that long, or until `stop` is set. Returns whether `stop` is set."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Current instant in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The process-wide monotonic clock, seconds."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Sleep, interruptibly where `stop` is given."""
        if stop is not None:
            return stop.wait(max(0.0, seconds))
        time.sleep(max(0.0, seconds))
        return False
