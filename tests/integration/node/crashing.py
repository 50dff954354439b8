"""A program: brings a version into a full cache, is killed at the first file-system call, at the second, and so on.

Each life is a fork that sends itself SIGKILL, so nothing is tidied up. After each the cache is opened as a node that
starts opens it. Prints how many lives there were, and ends with an error where one left what is not a whole version.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.desired import DesiredVersion
from roost.ports.object_store import StoredObject
from serving.node.cache import DiskCache
from serving.node.sync import Fetcher
from serving.node.workers import InlineRunner
from tests.unit.node.world import put, stored_bytes

NAME = "ua.default"
#: Python tells of these before it does them; `a piece` is ours.
CALLS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.utime", "a piece"}


class InPieces(InMemoryObjectStore):
    """Writes what is downloaded piece by piece, so that a crash can come between two."""

    def read_to(self, name: str, path: Path) -> StoredObject:
        content, facts = self.read(name)
        with path.open("xb", buffering=0) as file:
            for start in range(0, len(content), 8):
                sys.audit("a piece")
                file.write(content[start : start + 8])
        return facts


class Cache:
    """Room for two versions: the third must push out the one that is not in use."""

    def __init__(self, root: Path, store: InMemoryObjectStore) -> None:
        for directory in (root / "cache", root / "incoming"):
            directory.mkdir(parents=True, exist_ok=True)
        limit = int(2.5 * stored_bytes(NAME, 1))
        self.disk = DiskCache(root / "cache", limit_bytes=limit, in_use=lambda: {(NAME, 2), (NAME, 3)})
        self.fetcher = Fetcher(store, self.disk, root / "incoming", InlineRunner())
        self.root = root


def killed_at(call: int, act: Callable[[], None]) -> bool:
    """Whether a fork that is killed at that file-system call was killed before it had done all."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    seen = count(1)

    def hook(event: str, _: object) -> None:
        if event in CALLS and next(seen) == call:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    act()
    os._exit(0)


def check(cache: Cache, digests: dict[int, str]) -> None:
    """What is in the cache is whole, what is in use is there, and nothing else is left."""
    left = {key[1] for key in cache.disk.keys()}  # noqa: SIM118 (a method of the cache, not of a dict)
    assert 2 in left, left
    assert left <= {1, 2, 3}, left
    for version in left:
        assert cache.disk.sound((NAME, version), digests[version]), version
    assert not list((cache.root / "incoming").iterdir())
    assert {path.name for path in (cache.root / "cache" / NAME).iterdir()} == {str(version) for version in left}


def main(root: Path) -> int:
    """Returns the number of lives."""
    store = InPieces()
    digests = {version: put(store, NAME, version) for version in (1, 2, 3)}
    entries = {v: DesiredVersion(version=v, digest=digests[v], rollout_id="r") for v in digests}
    before = Cache(root / "before", store)
    for version in (1, 2):
        before.fetcher.fetch(NAME, entries[version])
    for call in count(1):
        shutil.copytree(before.root, root / "now")
        now = Cache(root / "now", store)
        killed = killed_at(call, lambda: now.fetcher.fetch(NAME, entries[3]))  # noqa: B023 (called at once)
        after = Cache(root / "now", store)
        check(after, digests)
        after.fetcher.fetch(NAME, entries[3])
        check(after, digests)
        assert (NAME, 3) in after.disk.keys()  # noqa: SIM118 (as above)
        shutil.rmtree(root / "now")
        if not killed:
            return call
    raise AssertionError("it was never let through")


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
