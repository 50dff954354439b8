"""One suite for every object store: the fake in memory and a real server spoken to with Google's client."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import google_crc32c
import pytest

from roost.adapters.gcs import open_store
from roost.contracts.errors import Conflict, NotFound, Permanent, StorageUnavailable
from roost.ports.object_store import ObjectStore
from roost.settings import StorageSettings
from tests.parts import free_port

pytestmark = pytest.mark.contract


def test_what_was_written_is_read_with_its_facts(store: ObjectStore) -> None:
    written = store.write("a/b.json", b"{}", if_generation=0, metadata={"write_id": "w1", "who": "me"})
    content, read = store.read("a/b.json")
    assert content == b"{}"
    assert read == written == store.stat("a/b.json")
    assert (read.name, read.size, read.metadata) == ("a/b.json", 2, {"write_id": "w1", "who": "me"})
    assert base64.b64decode(read.crc32c) == google_crc32c.value(b"{}").to_bytes(4, "big")
    assert read.generation > 0
    assert store.uri("a/b.json").endswith("/a/b.json")


def test_an_object_says_when_it_was_written_and_a_copy_when_it_was_copied(store: ObjectStore) -> None:
    """What a customer who had come back uploaded was taken for what they had left behind: nothing told its age."""
    # The store's clock may be another machine's.
    slack = timedelta(seconds=2)
    before = datetime.now(UTC)
    first = store.write("first", b"1", if_generation=0)
    assert before - slack <= first.created_at <= datetime.now(UTC) + slack
    replaced = store.write("first", b"2", if_generation=first.generation)
    copied = store.copy("first", "second", if_generation=0)
    listed = {stored.name: stored.created_at for stored in store.list("")}
    assert listed == {"first": replaced.created_at, "second": copied.created_at}
    assert first.created_at < replaced.created_at < copied.created_at
    assert store.stat("first") == replaced


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.write("empty", b"", if_generation=0)
    assert store.read("empty")[0] == b""


def test_an_object_bigger_than_one_request_is_whole(store: ObjectStore, tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024 + 17)
    (tmp_path / "in").write_bytes(content)
    written = store.write_from("big", tmp_path / "in", if_generation=0)
    read = store.read_to("big", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert read == written


def test_what_is_missing_is_none_or_not_found(store: ObjectStore, tmp_path: Path) -> None:
    assert store.stat("missing") is None
    with pytest.raises(NotFound, match="missing"):
        store.read("missing")
    with pytest.raises(NotFound, match="missing"):
        store.read_to("missing", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(NotFound, match="missing"):
        store.copy("missing", "target", if_generation=0)
    assert list(store.list("missing")) == []


def test_create_only_refuses_a_second_writer(store: ObjectStore) -> None:
    store.write("once", b"first", if_generation=0)
    with pytest.raises(Conflict, match="once"):
        store.write("once", b"second", if_generation=0)
    assert store.read("once")[0] == b"first"


def test_equal_content_of_another_writer_is_still_a_conflict(store: ObjectStore) -> None:
    store.write("once", b"same", if_generation=0)
    with pytest.raises(Conflict):
        store.write("once", b"same", if_generation=0)


def test_replacing_needs_the_generation_that_was_read(store: ObjectStore) -> None:
    first = store.write("state", b"1", if_generation=0)
    second = store.write("state", b"2", if_generation=first.generation)
    assert second.generation != first.generation
    with pytest.raises(Conflict):
        store.write("state", b"3", if_generation=first.generation)
    assert store.read("state")[0] == b"2"


def test_replacing_what_does_not_exist_is_a_conflict(store: ObjectStore) -> None:
    with pytest.raises(Conflict):
        store.write("never", b"1", if_generation=17)
    assert store.stat("never") is None


def test_an_own_write_whose_answer_was_lost_is_recognised(store: ObjectStore) -> None:
    first = store.write("mine", b"1", if_generation=0, metadata={"write_id": "w"})
    assert store.write("mine", b"1", if_generation=0, metadata={"write_id": "w"}) == first


def test_the_same_write_id_with_other_content_is_a_conflict(store: ObjectStore) -> None:
    store.write("mine", b"1", if_generation=0, metadata={"write_id": "w"})
    with pytest.raises(Conflict):
        store.write("mine", b"2", if_generation=0, metadata={"write_id": "w"})


def test_a_copy_has_content_and_metadata_and_is_create_only(store: ObjectStore) -> None:
    source = store.write("from", b"content", if_generation=0, metadata={"write_id": "w", "k": "v"})
    store.write("other", b"elsewhere", if_generation=0)
    copied = store.copy("from", "to", if_generation=0)
    assert (copied.name, copied.crc32c, copied.metadata) == ("to", source.crc32c, source.metadata)
    assert store.copy("from", "to", if_generation=0) == copied
    with pytest.raises(Conflict):
        store.copy("other", "to", if_generation=0)
    assert store.read("to")[0] == b"content"


def test_listing_is_by_name_and_by_plain_prefix(store: ObjectStore) -> None:
    for name in ("p/b", "p/a/x", "p/ab", "q", "p.txt"):
        store.write(name, name.encode(), if_generation=0)
    assert [found.name for found in store.list("p/")] == ["p/a/x", "p/ab", "p/b"]
    assert [found.name for found in store.list("p/a")] == ["p/a/x", "p/ab"]
    assert [found.size for found in store.list("q")] == [1]


def test_deleting_needs_the_generation_and_is_idempotent(store: ObjectStore) -> None:
    first = store.write("gone", b"1", if_generation=0)
    second = store.write("gone", b"2", if_generation=first.generation)
    with pytest.raises(Conflict):
        store.delete("gone", if_generation=first.generation)
    store.delete("gone", if_generation=second.generation)
    store.delete("gone", if_generation=second.generation)
    assert store.stat("gone") is None


def test_racing_writers_lose_no_update(store: ObjectStore) -> None:
    store.write("counter", b"0", if_generation=0)

    def count(_: int) -> None:
        while True:
            content, stored = store.read("counter")
            try:
                store.write("counter", b"%d" % (int(content) + 1), if_generation=stored.generation)
            except Conflict:
                continue
            return

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(count, range(24)))
    assert store.read("counter")[0] == b"24"


def test_a_file_that_exists_is_never_overwritten_by_a_download(store: ObjectStore, tmp_path: Path) -> None:
    store.write("x", b"new", if_generation=0)
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        store.read_to("x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"


# What only the real client can show: how it takes a store that is unwell.


@pytest.fixture
def unwell(real_settings: StorageSettings) -> Iterator[Callable[[list[int]], ObjectStore]]:
    """A store whose object requests are answered with these status codes first, and by the real server afterwards."""
    servers: list[ThreadingHTTPServer] = []

    def make(codes: list[int]) -> ObjectStore:
        open_store(real_settings)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _proxy(real_settings.endpoint or "", codes))
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        return open_store(real_settings.model_copy(update={"endpoint": endpoint, "deadline_seconds": 3}))

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def _proxy(upstream: str, codes: list[int]) -> type[BaseHTTPRequestHandler]:
    import requests

    class Proxy(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            about_objects = "/o" in self.path
            if about_objects and codes and codes[0] > 0:
                self._answer(codes.pop(0), {}, b"unwell")
                return
            kept = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "accept-encoding"}}
            answer = requests.request(self.command, upstream + self.path, data=body, headers=kept, timeout=10)
            if about_objects and self.command == "POST" and codes and codes.pop(0) < 0:
                self._answer(503, {}, b"done, and then the response was lost")
                return
            self._answer(answer.status_code, dict(answer.headers), answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815 (names that http.server looks for)

        def _answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(code)
            for name, value in headers.items():
                if name.lower() not in {
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "content-encoding",
                    "date",
                }:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Proxy


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_a_store_that_is_unwell_for_a_moment_is_asked_again(
    unwell: Callable[[list[int]], ObjectStore], code: int
) -> None:
    store = unwell([code])
    name = f"moment-{uuid.uuid4().hex}"
    assert store.write(name, b"1", if_generation=0).size == 1
    assert store.read(name)[0] == b"1"


def test_a_response_that_got_lost_does_not_make_the_write_a_conflict(
    unwell: Callable[[list[int]], ObjectStore],
) -> None:
    """The server stored the object and the client saw 503: the next try meets its own object (412)."""
    store = unwell([-1])
    name = f"lost-{uuid.uuid4().hex}"
    assert store.write(name, b"1", if_generation=0).size == 1


def test_a_store_that_stays_unwell_is_unavailable_by_the_deadline(
    unwell: Callable[[list[int]], ObjectStore],
) -> None:
    store = unwell([503] * 1000)
    with pytest.raises(StorageUnavailable, match="x"):
        store.read("x")


def test_lost_rights_are_named_and_not_taken_for_a_missing_object(
    unwell: Callable[[list[int]], ObjectStore],
) -> None:
    store = unwell([403] * 10)
    with pytest.raises(StorageUnavailable, match="roles"):
        store.write("x", b"1", if_generation=0)


def test_a_request_that_the_store_refuses_is_permanent(unwell: Callable[[list[int]], ObjectStore]) -> None:
    store = unwell([400] * 10)
    with pytest.raises(Permanent, match="400"):
        store.write("x", b"1", if_generation=0)


def test_a_store_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StorageUnavailable, match="does not answer"):
        open_store(StorageSettings(endpoint=f"http://127.0.0.1:{free_port()}", deadline_seconds=1))


def test_opening_twice_at_once_makes_one_bucket(real_settings: StorageSettings) -> None:
    settings = real_settings.model_copy(update={"bucket": f"race-{uuid.uuid4().hex}"})
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(open_store, [settings] * 4))
    stores[0].write("x", b"1", if_generation=0)
    assert stores[3].read("x")[0] == b"1"
