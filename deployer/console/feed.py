"""Live updates: one wait for the ledger's wake-ups per process, however many pages are open."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from roost.contracts.errors import DatabaseUnavailable
from roost.ports.clock import Clock
from roost.ports.ledger import Wakeups

log = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0


class Feed:
    """Counts the ledger's wake-ups. Pages compare `version` with the one they have drawn."""

    def __init__(self, open_wakeups: Callable[[], Wakeups], clock: Clock) -> None:
        """Nothing runs before `start`."""
        self._open, self._clock = open_wakeups, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        #: Grows by one with each wake-up.
        self.version = 0
        #: Why the ledger cannot be listened to, while it cannot.
        self.error: str | None = None

    @property
    def stopping(self) -> bool:
        """Whether the process drains: streams end now."""
        return self._stop.is_set()

    def start(self) -> None:
        """Listen on a thread of its own, telling the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._listen, name="wakeups", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end every wait. Callable from any thread."""
        self._stop.set()
        self._tell()

    async def changed(self, seen: int, seconds: float) -> int:
        """The version once it differs from `seen`, or after `seconds` at most."""
        if self.version != seen or self.stopping:
            return self.version
        event = self._changed
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return self.version
        return self.version

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except DatabaseUnavailable as error:
                if self.error is None:
                    log.warning("live updates pause: %s", error, extra={"action": "feed_lost"})
                self.error = str(error)
                self._clock.wait(_WAIT_SECONDS, self._stop)

    def _follow(self) -> None:
        wakeups = self._open()
        try:
            if self.error is not None:
                log.info("live updates are back", extra={"action": "feed_back"})
            self.error = None
            self._tell()
            while not self._stop.is_set():
                if wakeups.wait(_WAIT_SECONDS):
                    self._tell()
        finally:
            wakeups.close()

    def _tell(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._bump)

    def _bump(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()
