"""The neighbour budget on the latencies that a real gateway measures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from roost.adapters.in_memory.clock import ManualClock
from serving.node.neighbours import Budget, NeighbourPace
from tests.integration.gateway.running import Running, configured, running
from tests.integration.node.world import eventually

pytestmark = pytest.mark.integration


class Slowly(ThreadingHTTPServer):
    """A model server that takes as long as the test says."""

    daemon_threads = True
    seconds = 0.0


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        assert isinstance(self.server, Slowly)
        time.sleep(self.server.seconds)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Slowly]:
    server = Slowly(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(gateway: Running, times: int) -> None:
    """So many predictions, and until the gateway has counted them."""
    before = sum(gateway.admin.latencies().values())
    for _ in range(times):
        assert gateway.client.post("/v1/models/ua.default:predict", json={}).status_code == 200
    eventually(lambda: sum(gateway.admin.latencies().values()) >= before + times, "they are counted")


def test_loads_wait_while_the_gateway_says_that_its_models_are_slow(tmp_path: Path, upstream: Slowly):
    clock = ManualClock()

    def room(*, waiting: int, under_way: int) -> int:
        pace.look(busy=bool(waiting or under_way))
        return pace.room(waiting=waiting, under_way=under_way)

    config = configured(tmp_path, socket=tmp_path / "none.sock", rest=f"127.0.0.1:{upstream.server_port}")
    with running(config) as gateway:
        pace = NeighbourPace(Budget(factor=2, floor=1, patience=30), gateway.admin.latencies, clock)
        room(waiting=0, under_way=0)
        ask(gateway, 150)
        clock.advance(5)
        room(waiting=0, under_way=0)
        assert room(waiting=50, under_way=0) == 8
        # Longer than what a busy machine makes of an answer at once, even of the slowest of a hundred.
        upstream.seconds = 4
        with ThreadPoolExecutor(4) as together:
            list(together.map(lambda _: ask(gateway, 1), range(4)))
        upstream.seconds = 0.0
        ask(gateway, 100)  # one in 26 was slow
        clock.advance(1)
        assert room(waiting=50, under_way=4) == 0
        [(what, why)] = pace.take()
        assert what == "loads held"
        assert "are allowed" in why
        ask(gateway, 150)
        clock.advance(3.1)
        assert room(waiting=50, under_way=4) > 0
