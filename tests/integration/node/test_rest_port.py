"""A model server that answers by gRPC and not by REST is not up, and is replaced."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from roost.contracts.errors import ModelServerUnavailable
from serving.node.rest_port import RestPort
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


class Stranger(BaseHTTPRequestHandler):
    """Answers everything with what the server it belongs to says."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(self.server.says)  # type: ignore[attr-defined]  # set by the fixture

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("says", [b"Hello", b'["Hello"]', b'{"hello": 1}', b"\xff"])
def test_what_is_no_model_server_does_not_pass_for_one(stranger: HTTPServer, says: bytes):
    stranger.says = says
    with pytest.raises(ModelServerUnavailable, match="something else answers at"):
        RestPort(stranger.server_port).check(deadline=30)
    stranger.says = b'{ "error": "Could not find any versions of model roost.pulse" }'
    RestPort(stranger.server_port).check(deadline=30)


def test_a_port_that_nobody_listens_at_or_accepts_from_does_not_answer(unused_port: int):
    with pytest.raises(ModelServerUnavailable, match="refused"):
        RestPort(unused_port).check(deadline=30)
    # As one whose accepting thread has died.
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ModelServerUnavailable, match="does not answer: timed out"),
    ):
        RestPort(listener.getsockname()[1]).check(deadline=0.05)


@pytest.mark.long
def test_a_node_whose_model_server_comes_back_without_rest_says_so_and_has_it_replaced(
    shelf: Shelf, make_node: Callable[..., RunningNode], tmp_path: Path
):
    program, without = tmp_path / "model-server", tmp_path / "without-rest"
    command = f'exec {sys.executable} -m serving.model_server "$@"'
    program.write_text(f'#!/bin/sh\nif [ -e {without} ]; then set -- "$@" --rest_api_port=0; fi\n{command}\n')
    program.chmod(0o755)
    node = make_node(ROOST_SERVING__MODEL_SERVER=str(program))
    shelf.put("ua.default", 1, "one")
    shelf.desire({"ua.default": ([1], {"stable": 1})})
    node.start()
    node.await_ready()
    without.touch()
    os.kill(node.state().model_server_pid, signal.SIGKILL)
    eventually(lambda: "REST port" in (node.state().error or ""), "it says what is missing")
    assert not node.ready()
    without.unlink()
    node.await_ready()
    assert node.rest("ua.default") == 1.0
    assert node.state().error is None
    assert node.metric('roost_node_child_restarts_total{cause="no_rest",child="model_server"}') >= 1
