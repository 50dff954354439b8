"""The disk cache: complete, verified versions, bounded in size."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from roost.contracts.errors import ArtifactInvalid, Retryable
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, ManifestFile, digest_of
from serving.node.files import sync_directory

#: Served name and version.
Key = tuple[str, int]

_CHUNK: Final = 1 << 20


class CacheFull(Retryable):
    """A version does not fit, though everything that may go has gone."""


class DiskTrouble(Retryable):
    """The cache's disk refuses: full, read-only, broken."""


class DiskCache:
    """``<root>/<served name>/<version>/``. Safe for threads."""

    def __init__(self, root: Path, *, limit_bytes: int, in_use: Callable[[], Collection[Key]]) -> None:
        """Keep at most `limit_bytes`, never removing what `in_use` names."""
        self._root = root
        self._limit = limit_bytes
        self._in_use = in_use
        self._lock = threading.Lock()
        self._reserved = 0
        #: What is there, with its bytes: complete versions never change, so each is measured once.
        self._sizes: dict[Key, int] = {}
        for path in root.glob("*/.*.removed"):
            shutil.rmtree(path, ignore_errors=True)
        for path in root.glob("*/*"):
            if path.name.isdecimal():
                key = (path.parent.name, int(path.name))
                self._sizes[key] = _size(path)

    def base_path(self, name: str) -> Path:
        """Directory of all versions of a served name."""
        return self._root / name

    def path(self, key: Key) -> Path:
        """Directory of one version, there or not."""
        return self._root / key[0] / str(key[1])

    def holds(self, key: Key, digest: str) -> bool:
        """Whether the version is there with that digest and all its files have their sizes."""
        try:
            content = (self.path(key) / MANIFEST_NAME).read_bytes()
            manifest = ArtifactManifest.model_validate_json(content)
            sizes = all((self.path(key) / file.path).stat().st_size == file.size for file in manifest.files)
        except (OSError, ValidationError):
            return False
        return digest_of(content) == digest and sizes

    def manifest(self, key: Key) -> ArtifactManifest:
        """The manifest of a version that is there.

        Raises:
            ArtifactInvalid: it is not, or cannot be read.
        """
        try:
            return ArtifactManifest.model_validate_json((self.path(key) / MANIFEST_NAME).read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactInvalid(f"{self.path(key)} has no usable {MANIFEST_NAME}") from error

    def intact(self, key: Key) -> bool:
        """Whether every file still has the content that its manifest names. Reads all of it."""
        try:
            for file in self.manifest(key).files:
                check_file(self.path(key) / file.path, file)
        except (ArtifactInvalid, OSError):
            return False
        return True

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
        """Move a complete version in: it appears as a whole. One that is there already is replaced."""
        target = self.path(key)
        with self._lock:
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            directory.replace(target)
            self._sizes[key] = _size(target)
            sync_directory(target.parent)
            sync_directory(self._root)

    def remove(self, key: Key) -> None:
        """Forget one version, and its served name's directory with the last one."""
        with self._lock:
            self._remove(key)

    def trim(self) -> None:
        """Bring the cache below its bound, as far as what is in use allows."""
        with self._lock:
            if self._used() + self._reserved <= self._limit:
                return
            for key in self._removable():
                self._remove(key)
                if self._used() + self._reserved <= self._limit:
                    return

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
            self._remove(oldest)
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

    def _remove(self, key: Key) -> None:
        # Renamed first: a directory half deleted must not pass for a version.
        self._sizes.pop(key, None)
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


def check_file(path: Path, expected: ManifestFile) -> None:
    """Compare a file with its entry in the manifest.

    Raises:
        ArtifactInvalid: naming the file and what differs.
    """
    found = path.stat().st_size
    if found != expected.size:
        raise ArtifactInvalid(f"{expected.path} has {found} bytes, its manifest says {expected.size}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected.sha256:
        raise ArtifactInvalid(f"{expected.path} has sha256 {digest.hexdigest()}, its manifest says {expected.sha256}")


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _age(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0
