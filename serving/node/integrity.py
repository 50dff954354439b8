"""Whether a version's files are what its manifest says: read in whole once, and afterwards only looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from roost.contracts.errors import ArtifactInvalid
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, ManifestFile, digest_of

#: Served name and version.
Key = tuple[str, int]
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A version as it was when its files were read: its manifest's digest, its files, and the file system's facts."""

    digest: str
    files: tuple[str, ...]
    facts: int

    @classmethod
    def of(cls, directory: Path, manifest: ArtifactManifest, digest: str) -> Seal:
        """The seal of what is there now. Raises OSError where a file is missing."""
        files = (MANIFEST_NAME, *(file.path for file in manifest.files))
        return cls(digest=digest, files=files, facts=_facts(directory, files))


class Seals:
    """Remembers what was read in whole and found good, with the file system's facts of that moment.

    Every write, also one that sets the time of writing back, gives a file another time of change (ctime), which no
    program can set. So what has the facts it had needs no second reading in one life of the node. What a disk spoils
    by itself changes no facts: hence all is read again in each life, and before a version is called bad.
    """

    def __init__(self) -> None:
        self._seals: dict[Key, Seal] = {}

    def put(self, key: Key, seal: Seal) -> None:
        """The files have been read, not before `seal` was made, and are good."""
        self._seals[key] = seal

    def unbroken(self, key: Key, directory: Path, digest: str) -> bool:
        """Whether these are still the files that were found good, with that digest. Raises OSError for missing ones."""
        seal = self._seals.get(key)
        return seal is not None and seal.digest == digest and seal.facts == _facts(directory, seal.files)

    def drop(self, key: Key) -> None:
        """Forget one version."""
        self._seals.pop(key, None)


def read_manifest(directory: Path) -> tuple[ArtifactManifest, str]:
    """The manifest in a version's directory, and its digest.

    Raises:
        ArtifactInvalid: there is none, or it cannot be read.
    """
    try:
        content = (directory / MANIFEST_NAME).read_bytes()
        return ArtifactManifest.received(content), digest_of(content)
    except (OSError, ValidationError) as error:
        raise ArtifactInvalid(f"{directory} has no usable {MANIFEST_NAME}") from error


def check_files(directory: Path, manifest: ArtifactManifest) -> None:
    """Read every file that the manifest names.

    Raises:
        ArtifactInvalid: naming the file and what differs.
        OSError: one is not there, or the disk cannot read it.
    """
    for file in manifest.files:
        check_file(directory / file.path, file)


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


def _facts(directory: Path, files: Iterable[str]) -> int:
    """Inode, size, and the instants of the last write and change of each file, in one number."""
    stats = [(directory / file).stat() for file in files]
    return hash(tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats))
