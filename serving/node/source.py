"""The object store as a node needs it: to read, and to be down when the node starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from roost.ports.object_store import ObjectStore, StoredObject


class Source(Protocol):
    """The reading half of `ObjectStore`; see there for meaning and errors."""

    def uri(self, name: str) -> str:
        """``gs://bucket/name``."""

    def read(self, name: str) -> tuple[bytes, StoredObject]:
        """Whole content. Raises `NotFound`."""

    def read_to(self, name: str, path: Path) -> StoredObject:
        """Stream the content into a new file at `path`. Raises `NotFound`."""

    def stat(self, name: str) -> StoredObject | None:
        """The object's facts, or None where there is none."""


class LateSource:
    """Opens the store when it is first asked, and again until that succeeds.

    A node that has all it needs on its disk must come up while the store is down.
    """

    def __init__(self, bucket: str, opened: Callable[[], ObjectStore]) -> None:
        """`opened` may raise `StorageUnavailable`, which then is what the caller of a method gets."""
        self._bucket = bucket
        self._opened = opened
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None

    def uri(self, name: str) -> str:
        """``gs://bucket/name``."""
        return f"gs://{self._bucket}/{name}"

    def read(self, name: str) -> tuple[bytes, StoredObject]:
        """Whole content."""
        return self._get().read(name)

    def read_to(self, name: str, path: Path) -> StoredObject:
        """Stream into a new file."""
        return self._get().read_to(name, path)

    def stat(self, name: str) -> StoredObject | None:
        """The object's facts."""
        return self._get().stat(name)

    def _get(self) -> ObjectStore:
        with self._lock:
            if self._store is None:
                self._store = self._opened()
            return self._store
