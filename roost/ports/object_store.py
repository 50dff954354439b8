"""The object store: named bytes with generations. Every write has a precondition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the store says of one object."""

    name: str
    #: The store's own counter of this object's content. 0 never names an existing object.
    generation: int
    #: Bytes.
    size: int
    #: Castagnoli CRC of the content: base64 of the big-endian bytes.
    crc32c: str
    #: When this content was written there, by the store's clock; of a copy, when it was copied.
    created_at: datetime
    #: Caller's own facts, kept with the content.
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRule:
    """A rule by which the store deletes objects by itself."""

    #: Of the names that it concerns; none means all.
    prefixes: tuple[str, ...]
    #: Its condition, in words.
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFacts:
    """How a bucket is set up. None is what the store does not say."""

    uri: str
    location: str
    #: Former contents of objects are kept.
    keeps_former: bool
    #: Seconds for which what was deleted can be brought back.
    soft_delete_seconds: int | None
    #: Seconds for which no object may be replaced or deleted.
    retention_seconds: int
    #: New objects may not be replaced or deleted until somebody lets them go.
    holds_new_objects: bool
    uniform_access: bool | None
    public_access_prevented: bool | None
    deletions: tuple[DeletionRule, ...]
    #: Of ``storage.objects.get``, ``list``, ``create`` and ``delete``, those that this account has.
    rights: frozenset[str] | None


class ObjectStore(Protocol):
    """One bucket.

    Every method raises `StorageUnavailable` when the store does not answer in time or asks for a slower pace, after
    its own short retries. `if_generation` is the precondition: 0 means that the object must not exist; any other
    number that the object must be at exactly that generation; a broken precondition raises `Conflict`, unless the
    store holds exactly what was to be written with the same `metadata["write_id"]`: then an earlier response was
    lost, and the write counts as done.
    """

    def uri(self, name: str) -> str:
        """``gs://bucket/name``."""

    def read(self, name: str) -> tuple[bytes, StoredObject]:
        """Whole content. Raises `NotFound`."""

    def read_to(self, name: str, path: Path) -> StoredObject:
        """Stream the content into a new file at `path`, checking the CRC. Raises `NotFound`."""

    def stat(self, name: str) -> StoredObject | None:
        """The object's facts, or None where there is none."""

    def write(
        self, name: str, content: bytes, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Create or replace. Raises `Conflict`."""

    def write_from(
        self, name: str, path: Path, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """The same from a file."""

    def copy(self, source: str, target: str, *, if_generation: int) -> StoredObject:
        """Copy within the store, without the bytes passing through this process. Raises `NotFound`, `Conflict`."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose name starts with `prefix`, by name."""

    def delete(self, name: str, *, if_generation: int) -> None:
        """Delete that generation. One that is gone already counts as done. Raises `Conflict` if it is at another."""
