"""Bytes on their way: counted, checked, bounded in time."""

from __future__ import annotations

import base64
import time
from typing import IO, TYPE_CHECKING, Final

from roost.contracts.errors import StorageUnavailable
from roost.ports.object_store import StoredObject

if TYPE_CHECKING:
    from google.cloud import storage

_CHUNK: Final = 1 << 20


class Sink:
    """Takes a download: counts its CRC and ends it when it trickles past the deadline."""

    def __init__(self, file: IO[bytes], *, seconds: float) -> None:
        import google_crc32c

        self._file = file
        self._crc = google_crc32c.Checksum()
        self._until = time.monotonic() + seconds
        self._seconds = seconds

    def write(self, chunk: bytes) -> int:
        """Take one chunk. Raises `StorageUnavailable` past the deadline."""
        if time.monotonic() > self._until:
            raise StorageUnavailable(f"the store sent too slowly: not done after {self._seconds:g} s")
        self._crc.update(chunk)
        return self._file.write(chunk)

    @property
    def crc32c(self) -> str:
        """Of all that came, as the store writes it."""
        return base64.b64encode(self._crc.digest()).decode()


def crc_of(file: IO[bytes]) -> str:
    """Castagnoli CRC of the rest of a file, as the store writes it: base64 of the big-endian bytes."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    while chunk := file.read(_CHUNK):
        checksum.update(chunk)
    return base64.b64encode(checksum.digest()).decode()


def facts(blob: storage.Blob) -> StoredObject:
    """What a blob says of itself.

    Raises:
        StorageUnavailable: it does not say when it was created, so the answer is not whole.
    """
    if blob.time_created is None:
        raise StorageUnavailable(f"the store's answer on {blob.name} has no time of creation")
    return StoredObject(
        name=blob.name,
        generation=int(blob.generation),
        size=int(blob.size),
        crc32c=blob.crc32c,
        created_at=blob.time_created,
        metadata=dict(blob.metadata or {}),
    )
