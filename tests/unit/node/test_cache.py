"""The disk cache: what may be in it, what leaves it, and what a damaged file leads to."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from roost.contracts.acks import VersionState
from roost.contracts.desired import DesiredVersion
from roost.contracts.errors import ArtifactInvalid
from serving.node import integrity
from serving.node.cache import CacheFull, DiskCache, DiskTrouble
from serving.node.sync import Fetcher
from serving.node.sync_only import Patience, SyncUnfinished, fill
from serving.node.workers import InlineRunner
from tests.unit.node.world import Node, stored_bytes

UA = "ua.default"
AA = "aa.default"
FILE = "variables/variables.index"


def serving(node: Node, *versions: int) -> None:
    node.put(UA, *versions)
    node.put(AA, 1)
    node.desire({UA: ([versions[0]], {"stable": versions[0]}), AA: ([1], {"stable": 1})})
    node.settle()


def spoil(file: Path) -> None:
    """Another content of the same size, and the same time of writing."""
    facts = file.stat()
    file.write_bytes(b"~" * facts.st_size)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_file_spoiled_between_two_lives_is_fetched_again_before_any_server_reads_it(node: Node):
    """Regression: only sizes were compared, so a flipped bit in a variable was loaded and answered from."""
    serving(node, 1)
    file = node.cache.path((UA, 1)) / FILE
    spoil(file)
    node.server.given.clear()
    before = metric("roost_node_cache_damaged_total")
    node.restart()
    assert not node.cache.sound((UA, 1), node.digests[UA, 1])
    node.look()
    assert node.settle().serves(UA, 1)
    assert file.read_bytes() == b"index"
    assert [entry.name for entry in node.server.given[0]] == [AA]  # what it was started on
    assert metric("roost_node_cache_damaged_total") > before


def test_a_file_spoiled_under_a_running_node_is_found_before_the_next_load(node: Node):
    serving(node, 1)
    file = node.cache.path((UA, 1)) / FILE
    spoil(file)
    node.server.given.clear()
    node.server.crash()
    assert node.settle().serves(UA, 1)
    node.quiet(3)
    assert file.read_bytes() == b"index"
    assert [entry.name for entry in node.server.given[0]] == [AA]


def test_a_file_spoiled_by_the_disk_itself_is_found_when_its_load_fails(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(integrity, "_facts", lambda *_: 0)  # nobody wrote to it, as far as the file system knows
    serving(node, 1)
    file = node.cache.path((UA, 1)) / FILE
    spoil(file)
    node.server.faults.load_errors[UA, 1] = "cannot parse"
    node.server.crash()
    node.step(4)
    node.server.faults.load_errors.clear()
    assert node.settle().serves(UA, 1)
    assert file.read_bytes() == b"index"


def test_a_damaged_file_without_the_store_costs_that_version_only(node: Node):
    serving(node, 1)
    spoil(node.cache.path((UA, 1)) / FILE)
    node.store.outage = "503"
    node.restart()
    node.look()
    state = node.quiet(20)
    assert state.serves(AA, 1)
    assert not state.serves(UA, 1)
    assert not state.ready  # this node cannot serve its generation; another may
    node.store.outage = None
    assert node.settle().serves(UA, 1)


def test_a_version_that_does_not_fit_says_so_and_the_rest_goes_on(tmp_path: Path):
    node = Node(tmp_path, cache_bytes=int(1.5 * stored_bytes(UA, 1)))
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: ([1, 2], {"stable": 2})})
    state = node.settle()
    assert "raise ROOST_SERVING__CACHE_MB" in node.version(UA, 2).error
    assert state.serves(UA, 1)


def test_a_full_disk_is_said_and_waited_out(node: Node, monkeypatch: pytest.MonkeyPatch):
    serving(node, 1, 2)
    real = shutil.disk_usage(node.layout.cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=10))
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1], {"stable": 1})})
    state = node.quiet(20)
    assert "is full" in node.version(UA, 2).error
    assert "10 are free" in node.version(UA, 2).error
    assert state.serves(UA, 1)
    assert state.ready
    monkeypatch.undo()
    node.quiet(60)
    assert node.state.serves(UA, 2)


def test_a_disk_that_fills_up_during_a_download_leaves_nothing_behind(node: Node, monkeypatch: pytest.MonkeyPatch):
    serving(node, 1, 2)
    whole = type(node.store).read_to

    def half(store: object, name: str, path: Path) -> object:
        if FILE in name:
            path.write_bytes(b"i")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return whole(node.store, name, path)

    monkeypatch.setattr(type(node.store), "read_to", half)
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1], {"stable": 1})})
    state = node.quiet(20)
    assert "No space left on device" in node.version(UA, 2).error
    assert state.serves(UA, 1)
    assert not list(node.layout.incoming.iterdir())
    assert node.cache.keys() == [(AA, 1), (UA, 1)]
    monkeypatch.undo()
    node.quiet(60)
    assert node.state.serves(UA, 2)


def test_what_crashes_left_behind_is_cleared_away(node: Node):
    serving(node, 1)
    leftover = node.cache.path((UA, 1)).with_name(".7.removed")
    half = node.layout.incoming / "ua.default.8.abc"
    leftover.mkdir()
    half.mkdir()
    node.restart()
    assert not leftover.exists()
    assert not half.exists()


def test_what_was_used_longest_ago_makes_room_first(tmp_path: Path):
    """Regression: the age was counted from the download, so what had just been replaced went first."""
    node = Node(tmp_path, cache_bytes=int(3.5 * stored_bytes(UA, 1)))
    node.put(UA, 1, 2, 3, 4)
    for version in (1, 2, 1, 3, 4):  # 1 came first, and was used again after 2
        before = metric("roost_node_cache_removed_total", why="room")
        node.desire({UA: ([version], {"stable": version})})
        node.settle()
        node.quiet(3)
    assert node.cache.keys() == [(UA, 1), (UA, 3), (UA, 4)]
    assert node.state.serves(UA, 4)
    assert metric("roost_node_cache_removed_total", why="room") == before + 1
    assert metric("roost_node_cache_versions_count") == 3
    assert metric("roost_node_cache_bytes") == sum(stored_bytes(UA, version) for version in (1, 3, 4))


def test_a_lower_bound_holds_from_the_next_start_on(node: Node):
    node.put(UA, 1, 2, 3)
    for version in (1, 2, 3):
        node.desire({UA: ([version], {"stable": version})})
        node.settle()
        node.quiet(3)
    node.cache_bytes = int(2.5 * stored_bytes(UA, 1))
    node.restart()
    assert node.cache.keys() == [(UA, 2), (UA, 3)]
    node.cache_bytes = 1
    node.restart()
    assert node.cache.keys() == [(UA, 3)]  # what is served stays, bound or not
    node.look()
    assert node.settle().serves(UA, 3)


def test_neither_the_served_nor_the_next_generation_makes_room(tmp_path: Path):
    """Regression: a generation that was read and not yet followed was no reason to keep its versions."""
    node = Node(tmp_path, cache_bytes=int(3.5 * stored_bytes(UA, 1)))
    node.put(UA, 1, 2, 3, 4)
    for version in (1, 2):
        node.desire({UA: ([version], {"stable": version})})
        node.settle()
        node.quiet(3)
    node.desire({UA: ([1, 2, 3, 4], {"stable": 1})})  # read, and the engine has not had a pass since
    with node.cache.room_for(stored_bytes(UA, 3)):
        assert node.cache.keys() == [(UA, 1), (UA, 2)]
    with pytest.raises(CacheFull, match="raise ROOST_SERVING__CACHE_MB"), node.cache.room_for(2 * stored_bytes(UA, 3)):
        pass
    assert node.cache.keys() == [(UA, 1), (UA, 2)]


def test_room_is_reserved_for_what_is_on_its_way(tmp_path: Path):
    cache = DiskCache(tmp_path, limit_bytes=100, in_use=frozenset)
    with cache.room_for(60):
        with pytest.raises(CacheFull), cache.room_for(60):
            pass
        with cache.room_for(40):
            pass
    with cache.room_for(100):
        pass


def test_a_version_is_read_in_whole_once_and_after_every_write(node: Node, monkeypatch: pytest.MonkeyPatch):
    serving(node, 1)
    cache = DiskCache(node.layout.cache, limit_bytes=10**9, in_use=frozenset)
    key, digest = (UA, 1), node.digests[UA, 1]
    read: list[str] = []
    check = integrity.check_file
    monkeypatch.setattr(integrity, "check_file", lambda path, entry: read.append(path.name) or check(path, entry))
    assert cache.sound(key, digest)
    files = len(read)
    assert cache.sound(key, digest)
    assert len(read) == files
    file = cache.path(key) / FILE
    file.write_bytes(file.read_bytes())
    assert cache.sound(key, digest)
    assert len(read) == 2 * files


def test_another_digest_is_another_version(node: Node):
    serving(node, 1)
    key = (UA, 1)
    assert not node.cache.sound(key, "sha256:" + "0" * 64)
    assert node.cache.sound(key, node.digests[key])
    node.cache.remove(key)
    assert not node.cache.sound(key, node.digests[key])
    with pytest.raises(ArtifactInvalid, match="no usable MANIFEST"):
        node.cache.manifest(key)
    assert not node.cache.intact(key)
    assert node.cache.bytes_of(key) == 0


def test_the_init_step_says_why_it_waits_and_that_it_was_told_to_end(node: Node, caplog: pytest.LogCaptureFixture):
    """Regression: a step that was told to end claimed to have waited ten minutes."""
    node.store.outage = "503"
    stop = threading.Event()
    stop.set()
    with pytest.raises(SyncUnfinished, match="told to end before pool default was in the cache: 503"):
        fill(
            node.store,
            node.layout,
            "default",
            limit_bytes=10**9,
            patience=Patience(stop=stop, clock=node.clock),
        )
    assert "the cache is not filled yet, and is tried again until it is: 503" in caplog.text


def test_the_init_step_waits_out_a_disk_that_refuses_and_then_says_so(node: Node):
    serving(node, 1)
    node.layout.boot_config.unlink(missing_ok=True)
    node.layout.boot_config.mkdir()
    patience = Patience(stop=threading.Event(), seconds=5, clock=node.clock)
    with pytest.raises(SyncUnfinished, match="after 5 s: the configuration cannot be kept in"):
        fill(node.store, node.layout, "default", limit_bytes=10**9, patience=patience)


def test_a_version_of_another_life_is_fetched_only_where_it_is_not_sound(node: Node):
    serving(node, 1)
    fetcher = Fetcher(node.store, node.cache, node.layout.incoming, InlineRunner())
    entry = DesiredVersion(version=1, digest=node.digests[UA, 1], rollout_id="r")
    node.store.outage = "503"
    fetcher.fetch(UA, entry)  # there: nobody is asked
    spoil(node.cache.path((UA, 1)) / FILE)
    node.store.outage = None
    fetcher.fetch(UA, entry)
    assert node.cache.sound((UA, 1), entry.digest)
    node.layout.incoming.rmdir()
    node.cache.remove((UA, 1))
    with pytest.raises(DiskTrouble, match="cannot be kept in"):
        fetcher.fetch(UA, entry)
    assert node.version(UA, 1).state is VersionState.PROVEN  # it is in the server's memory all the while
