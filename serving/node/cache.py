"""The disk cache: complete, verified versions, bounded in size."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roost.contracts.errors import ArtifactInvalid, Retryable
from roost.contracts.manifest import ArtifactManifest
from roost.telemetry import metrics
from serving.node.files import sync_directory
from serving.node.integrity import Key, Seal, Seals, check_files, read_manifest

log = logging.getLogger(__name__)


class CacheFull(Retryable):
    """A version does not fit, though everything that may go has gone."""


class DiskTrouble(Retryable):
    """The cache's disk refuses: full, read-only, broken."""


class DiskCache:
    """``<root>/<served name>/<version>/``. Safe for threads.

    A version appears there by one rename of a directory whose files have been written, checked and made durable, and
    leaves by one rename too: whatever instruction a crash comes at, what has a version's name was complete once.
    """

    def __init__(self, root: Path, *, limit_bytes: int, in_use: Callable[[], Collection[Key]]) -> None:
        """Keep at most `limit_bytes`, never removing what `in_use` names."""
        self._root = root
        self._limit = limit_bytes
        self._in_use = in_use
        self._lock = threading.Lock()
        self._reserved = 0
        #: What is there, with its bytes: complete versions never change, so each is measured once.
        self._sizes: dict[Key, int] = {}
        self._seals = Seals()
        #: A reload names every model's, and to put a path together takes longer than to find it.
        self._base_paths: dict[str, Path] = {}
        for path in root.glob("*/.*.removed"):
            shutil.rmtree(path, ignore_errors=True)
        for path in root.glob("*/*"):
            if path.name.isdecimal():
                key = (path.parent.name, int(path.name))
                self._sizes[key] = _size(path)
        self._measure()

    def base_path(self, name: str) -> Path:
        """Directory of all versions of a served name."""
        found = self._base_paths.get(name)
        if found is None:
            found = self._base_paths[name] = self._root / name
        return found

    def path(self, key: Key) -> Path:
        """Directory of one version, there or not."""
        return self._root / key[0] / str(key[1])

    def there(self, key: Key) -> bool:
        """Whether its directory is there. What is in it `sound` tells."""
        # As text: it is asked of every version at once, and a `Path` for each costs as much as the system's answer.
        return os.path.isdir(f"{self._root}/{key[0]}/{key[1]}")  # noqa: PTH112

    def sound(self, key: Key, digest: str) -> bool:
        """Whether the version is there with that digest, and every file has the content that its manifest names.

        Reads all of it, once in the life of this object as long as no file is written to.
        """
        try:
            directory = self.path(key)
            if self._seals.unbroken(key, directory, digest):
                return True
            manifest, found = read_manifest(directory)
            if found != digest:
                return False
            seal = Seal.of(directory, manifest, found)
            check_files(directory, manifest)
            self._seals.put(key, seal)
        except (ArtifactInvalid, OSError) as error:
            self._damaged(key, error)
            return False
        return True

    def intact(self, key: Key) -> bool:
        """Whether every file still has the content that its manifest names. Reads all of it, each time."""
        try:
            manifest, _ = read_manifest(self.path(key))
            check_files(self.path(key), manifest)
        except (ArtifactInvalid, OSError) as error:
            self._damaged(key, error)
            return False
        return True

    def manifest(self, key: Key) -> ArtifactManifest:
        """The manifest of a version that is there.

        Raises:
            ArtifactInvalid: it is not, or cannot be read.
        """
        return read_manifest(self.path(key))[0]

    def bytes_of(self, key: Key) -> int:
        """Bytes of one version on the disk; 0 where it is not there."""
        with self._lock:
            return self._sizes.get(key, 0)

    def released(self, key: Key) -> None:
        """The version is in use no longer: from now on it ages. What is oldest makes room first."""
        with suppress(OSError):
            os.utime(self.path(key))

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Reserve `size` bytes while a version is being brought in, removing what is not in use, oldest first.

        Raises:
            CacheFull: over the bound; the text names the sizes and the remedy.
            DiskTrouble: the disk has no room.
        """
        with self._lock:
            self._make_room(size)
            self._reserved += size
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= size

    def admit(self, directory: Path, key: Key) -> None:
        """Move a complete version in, whose files have just been checked: it appears as a whole.

        One that is there already is replaced.
        """
        target, size = self.path(key), _size(directory)
        with self._lock:
            self._remove(key, "replaced")
            target.parent.mkdir(exist_ok=True)
            directory.replace(target)
            self._sizes[key] = size
            self._seals.put(key, Seal.of(target, *read_manifest(target)))
            sync_directory(target.parent)
            sync_directory(self._root)
            self._measure()

    def remove(self, key: Key) -> None:
        """Forget one version, and its served name's directory with the last one."""
        with self._lock:
            self._remove(key, "damaged")
            self._measure()

    def trim(self) -> None:
        """Bring the cache below its bound, as far as what is in use allows."""
        with self._lock:
            if self._used() + self._reserved <= self._limit:
                return
            for key in self._removable():
                self._remove(key, "room")
                if self._used() + self._reserved <= self._limit:
                    break
            self._measure()

    def keys(self) -> list[Key]:
        """What is there."""
        with self._lock:
            return sorted(self._sizes)

    def _make_room(self, size: int) -> None:
        removable: Iterator[Key] | None = None
        while True:
            free = shutil.disk_usage(self._root).free - self._reserved
            used = self._used() + self._reserved
            if free >= size and used + size <= self._limit:
                return
            removable = removable or iter(self._removable())
            oldest = next(removable, None)
            if oldest is None:
                break
            self._remove(oldest, "room")
        if free < size:
            raise DiskTrouble(
                f"the disk of {self._root} is full: {size} bytes are needed, {free} are free; free some space"
            )
        raise CacheFull(
            f"the cache {self._root} is full: {size} bytes are needed beside {used} in use, of {self._limit} allowed; "
            "raise ROOST_SERVING__CACHE_MB or place fewer models in this pool"
        )

    def _removable(self) -> list[Key]:
        keep = self._in_use()
        spare = [key for key in self._sizes if key not in keep]
        return sorted(spare, key=lambda key: _age(self.path(key)))

    def _remove(self, key: Key, why: str) -> None:
        # Renamed first: a directory half deleted must not pass for a version.
        if self._sizes.pop(key, None) is not None:
            metrics.NODE_CACHE_REMOVED.labels(why=why).inc()
        self._seals.drop(key)
        doomed = self.path(key).with_name(f".{key[1]}.removed")
        shutil.rmtree(doomed, ignore_errors=True)
        try:
            self.path(key).replace(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)
        if not any(doomed.parent.iterdir()):
            doomed.parent.rmdir()

    def _used(self) -> int:
        return sum(self._sizes.values())

    def _measure(self) -> None:
        metrics.NODE_CACHE_BYTES.set(self._used())
        metrics.NODE_CACHE_LIMIT.set(self._limit)
        metrics.NODE_CACHE_VERSIONS.set(len(self._sizes))

    def _damaged(self, key: Key, error: Exception) -> None:
        if key in self._sizes:
            metrics.NODE_CACHE_DAMAGED.inc()
            facts = {"action": "cache_damaged", "model": key[0], "version": key[1]}
            log.warning("%s version %d is damaged in the cache: %s", *key, error, extra=facts)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _age(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0
