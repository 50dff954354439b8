"""What the HTTP client makes of a node that misbehaves. Loopback only."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from roost.adapters.node_control import HttpNodeControl
from roost.contracts.errors import NodeUnavailable
from roost.ports.serving import NodeAddress


class Misbehaving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        mode = self.server.mode
        if mode == "trickle":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                while not self.server.over.wait(0.05):
                    self.wfile.write(b" ")
        elif mode == "silent":
            self.server.over.wait(120)
        else:
            code, body = mode
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    made.daemon_threads = True
    made.over = threading.Event()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("mode", "deadline", "said"),
    [
        ("silent", 0.3, "did not answer within 0.3 s"),
        ("trickle", 0.3, "did not (finish its answer in time|answer within)"),
        # Whoever answers has the time for it on a busy machine.
        ((200, b"<html>"), 60, "did not answer with its state"),
        ((401, b"a bearer token is needed"), 60, "answered 401: a bearer token is needed"),
    ],
)
def test_whatever_a_node_does_the_caller_is_free_by_its_deadline(
    server: ThreadingHTTPServer, mode: object, deadline: float, said: str
):
    server.mode = mode
    at = f"127.0.0.1:{server.server_address[1]}"
    control = HttpNodeControl()
    begun = time.monotonic()
    with pytest.raises(NodeUnavailable, match=said):
        control.state(NodeAddress(node="n", pool="default", control=at, rest=at, grpc=at), deadline=deadline)
    assert time.monotonic() - begun < 60, "it waited for the node"
    control.close()
