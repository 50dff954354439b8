"""Has versions downloaded, those that are wanted and those that have vanished, and tries again with back-off."""

from __future__ import annotations

import logging
from typing import Final

from roost.contracts.acks import VersionState
from roost.contracts.errors import Retryable, RoostError, StorageUnavailable
from roost.ports.clock import Clock
from serving.node.cache import DiskCache, DiskTrouble
from serving.node.holdings import Held, Holdings
from serving.node.integrity import Key
from serving.node.sync import Downloads

log = logging.getLogger(__name__)

#: Failures of a kind that passes, before the version counts as failed. It is tried again all the same.
_PATIENCE: Final = 3
_FIRST, _LONGEST = 1.0, 60.0


class Intake:
    """Brings versions from PENDING to LOADING, and the files of those that are loaded back to the disk."""

    def __init__(self, holdings: Holdings, downloads: Downloads, cache: DiskCache, clock: Clock) -> None:
        self._holdings = holdings
        self._downloads = downloads
        self._cache = cache
        self._clock = clock
        #: Of what is loaded and has vanished: how often it was fetched again, and when that is due again.
        self._vanished: dict[Key, tuple[int, float]] = {}
        #: Why nothing new is loaded, or None.
        self.error: str | None = None

    def advance(self) -> None:
        """Take what has ended, start what is due."""
        for key, error in self._downloads.finished().items():
            held = self._holdings.versions.get(key)
            if held is not None and held.state is VersionState.DOWNLOADING:
                self._ended(held, error)
            elif key in self._vanished:
                self._mended(key, error)
        now = self._clock.monotonic()
        for held in self._holdings:
            due = held.retry_at is not None and held.retry_at <= now and not held.loaded
            if held.wanted and (held.state is VersionState.PENDING or due):
                self._start(held)

    def seconds_to_next(self) -> float | None:
        """Until a download is due again, or None."""
        due = [held.retry_at for held in self._holdings if held.retry_at is not None and held.wanted]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def mend(self) -> bool:
        """Fetch again what is loaded and has vanished from the disk. Returns whether anything is still missing.

        What is loaded goes on answering without its files. But where one model's path is missing the official server
        looks at no other's: a reload that brings a new model would hang, and the server would have to be replaced.
        """
        missing = [held for held in self._holdings if held.loaded and not self._cache.there(held.key)]
        self._vanished = {held.key: self._vanished.get(held.key, (0, 0.0)) for held in missing}
        now = self._clock.monotonic()
        for held in missing:
            attempts, due = self._vanished[held.key]
            if now >= due:
                self._vanished[held.key] = (attempts + 1, now + min(_LONGEST, _FIRST * 2.0**attempts))
                self.error = f"{held.name} version {held.entry.version} has vanished from the disk: it is fetched again"
                self._cache.remove(held.key)
                self._downloads.start(held.name, held.entry)
        if not missing:
            self.error = None
        return bool(missing)

    def _mended(self, key: Key, error: RoostError | None) -> None:
        if error is None:
            del self._vanished[key]
            self.error = self.error if self._vanished else None
            return
        self.error = f"{key[0]} version {key[1]} has vanished from the disk, and cannot be fetched: {error}"
        log.warning("%s", self.error, extra={"action": "cache_vanished", "model": key[0], "version": key[1]})

    def _start(self, held: Held) -> None:
        if held.retry_at is not None:
            self._cache.remove(held.key)
        held.retry_at = None
        held.state = VersionState.DOWNLOADING
        self._downloads.start(held.name, held.entry)

    def _ended(self, held: Held, error: RoostError | None) -> None:
        if error is None and self._cache.sound(held.key, held.entry.digest):
            held.state, held.error, held.ours_to_blame = VersionState.LOADING, None, False
            return
        held.attempts += 1
        retry_at = self._clock.monotonic() + min(_LONGEST, _FIRST * 2.0 ** (held.attempts - 1))
        held.ours_to_blame = isinstance(error, StorageUnavailable | DiskTrouble)
        text = str(error or "it was downloaded for another digest")
        if isinstance(error, Retryable) and held.attempts < _PATIENCE:
            held.error, held.retry_at = text, retry_at
        else:
            held.fail(text, retry_at=retry_at)
        facts = {"action": "download_failed", "model": held.name, "version": held.entry.version}
        log.warning("%s version %d is not fetched: %s", *held.key, text, extra=facts)
