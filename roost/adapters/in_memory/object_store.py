"""The object store in memory, with the faults that tests need."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import google_crc32c

from roost.contracts.errors import Conflict, NotFound, StorageUnavailable
from roost.ports.clock import Clock, SystemClock
from roost.ports.object_store import StoredObject


class InMemoryObjectStore:
    """`ObjectStore` in a dictionary. Safe for threads."""

    def __init__(self, bucket: str = "roost", clock: Clock | None = None) -> None:
        """`clock` says when objects are created; the machine's own by default."""
        self._bucket = bucket
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}
        self._counter = 0
        #: While set, every method raises `StorageUnavailable` with this text.
        self.outage: str | None = None
        #: Names whose next write is done, and then answered as if the response had been lost.
        self.lost_responses: set[str] = set()

    def uri(self, name: str) -> str:
        """``gs://bucket/name``."""
        return f"gs://{self._bucket}/{name}"

    def read(self, name: str) -> tuple[bytes, StoredObject]:
        """Whole content."""
        self._answer()
        with self._lock:
            if name not in self._objects:
                raise NotFound(f"{self.uri(name)} does not exist")
            return self._objects[name]

    def read_to(self, name: str, path: Path) -> StoredObject:
        """Write the content into a new file."""
        content, stored = self.read(name)
        with path.open("xb") as file:
            file.write(content)
        return stored

    def stat(self, name: str) -> StoredObject | None:
        """The object's facts."""
        self._answer()
        with self._lock:
            entry = self._objects.get(name)
            return entry[1] if entry else None

    def write(
        self, name: str, content: bytes, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Create or replace."""
        self._answer()
        facts = {"write_id": uuid.uuid4().hex, **(metadata or {})}
        with self._lock:
            current = self._objects.get(name)
            if (current[1].generation if current else 0) != if_generation:
                if current and current[0] == content and current[1].metadata.get("write_id") == facts["write_id"]:
                    return current[1]
                raise Conflict(f"{self.uri(name)} is not at generation {if_generation}")
            stored = self._put(name, content, facts)
        if name in self.lost_responses:
            self.lost_responses.discard(name)
            raise StorageUnavailable(f"{self.uri(name)}: the response was lost")
        return stored

    def write_from(
        self, name: str, path: Path, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """The same from a file."""
        return self.write(name, path.read_bytes(), if_generation=if_generation, metadata=metadata)

    def copy(self, source: str, target: str, *, if_generation: int) -> StoredObject:
        """Copy content and metadata."""
        content, stored = self.read(source)
        return self.write(target, content, if_generation=if_generation, metadata=stored.metadata)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects under the prefix, by name."""
        self._answer()
        with self._lock:
            found = [stored for name, (_, stored) in sorted(self._objects.items()) if name.startswith(prefix)]
        yield from found

    def delete(self, name: str, *, if_generation: int) -> None:
        """Delete that generation."""
        self._answer()
        with self._lock:
            current = self._objects.get(name)
            if current is None:
                return
            if current[1].generation != if_generation:
                raise Conflict(f"{self.uri(name)} is not at generation {if_generation}")
            del self._objects[name]

    def corrupt(self, name: str, content: bytes) -> None:
        """Replace the content behind everybody's back, as a broken disk would: facts and generation stay."""
        with self._lock:
            self._objects[name] = (content, self._objects[name][1])

    def _put(self, name: str, content: bytes, metadata: Mapping[str, str]) -> StoredObject:
        self._counter += 1
        crc = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        stored = StoredObject(
            name=name,
            generation=self._counter,
            size=len(content),
            crc32c=crc,
            created_at=self._clock.now(),
            metadata=dict(metadata),
        )
        self._objects[name] = (content, stored)
        return stored

    def _answer(self) -> None:
        if self.outage is not None:
            raise StorageUnavailable(self.outage)
