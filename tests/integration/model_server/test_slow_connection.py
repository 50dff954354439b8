"""A server that is busy takes a moment to greet a new connection; the client waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest

from roost.adapters.tf_serving import ModelServerClient

pytestmark = pytest.mark.integration

_SLOW_SECONDS = 0.5


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.fixture
def slow_address() -> Iterator[str]:
    """A gRPC server that knows no service, behind a door that opens half a second late."""
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    door = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):
            while True:
                caller, _ = door.accept()
                time.sleep(_SLOW_SECONDS)
                behind = socket.create_connection(("127.0.0.1", port))
                for pair in ((caller, behind), (behind, caller)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()

    threading.Thread(target=answer, daemon=True).start()
    yield f"127.0.0.1:{door.getsockname()[1]}"
    door.close()
    server.stop(None)


def test_a_connection_that_is_greeted_late_is_waited_for(slow_address: str) -> None:
    """It was given up after 50 ms: what gRPC calls the least back-off is also how long one attempt may take."""
    client = ModelServerClient(slow_address)
    try:
        # The server's own answer, and no failure to connect.
        with pytest.raises(Exception, match="Method not found"):
            client.predict("ha.default", {}, version=1, signature="serving_default", deadline=60)
    finally:
        client.close()
