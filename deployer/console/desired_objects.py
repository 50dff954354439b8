"""The desired objects as the console reads them: soon, or not at all, so that no page hangs on a store that is away."""

from __future__ import annotations

import threading
from collections.abc import Callable

from roost.contracts.desired import DesiredState
from roost.contracts.errors import NotFound, StorageUnavailable
from roost.contracts.ids import desired_object
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore

#: Seconds that one read may take.
DEADLINE = 2.0
#: Seconds before a store that did not answer is asked again.
_REST = 5.0


class DesiredObjects:
    """Reads desired states. The store is opened at the first read, and again while that fails. Safe for threads."""

    def __init__(self, open_store: Callable[[], ObjectStore], clock: Clock) -> None:
        """`open_store` should give up within `DEADLINE` seconds; it may raise `StorageUnavailable`."""
        self._open, self._clock = open_store, clock
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None
        self._failed_at = float("-inf")
        self._failure = ""
        self._silent_at = float("-inf")

    def read(self, pool: str) -> DesiredState:
        """What the pool shall serve; nothing, at generation 0, where nothing was ever written.

        Raises:
            StorageUnavailable: the store does not answer, or did not some seconds ago.
        """
        with self._lock:
            if self._clock.monotonic() - self._failed_at < _REST:
                raise StorageUnavailable(self._failure)
            try:
                return self._decoded(pool)
            except StorageUnavailable as error:
                self._failed_at, self._failure = self._clock.monotonic(), str(error)
                raise

    def has(self, name: str) -> bool | None:
        """Whether there is an object of that name; None where the store does not say, or did not some seconds ago.

        The console's account may be held to ``fleet/``; then it never says of others, and that is no outage.
        """
        with self._lock:
            if self._clock.monotonic() - max(self._failed_at, self._silent_at) < _REST:
                return None
            try:
                return self._opened().stat(name) is not None
            except StorageUnavailable:
                self._silent_at = self._clock.monotonic()
                return None

    def _opened(self) -> ObjectStore:
        if self._store is None:
            self._store = self._open()
        return self._store

    def _decoded(self, pool: str) -> DesiredState:
        try:
            content, _ = self._opened().read(desired_object(pool))
        except NotFound:
            return DesiredState.empty(pool)
        return DesiredState.decoded(content)
