"""One connection, over a pair of sockets: requests that stall or trickle, half-closed clients, answers that come late."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from serving.model_server.rest.answer import Answer
from serving.model_server.rest.http_connection import Connection
from serving.model_server.rest.patience import Patience

REQUEST = b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"


class Open:
    """Admits everybody."""

    draining = False

    def __enter__(self) -> None:
        return

    def __exit__(self, *exc: object) -> None:
        return


def echo(method: str, path: str, body: bytes) -> Answer:
    """Give back what was asked."""
    return Answer(status=200, body=b" ".join([method.encode(), path.encode(), body]))


@contextmanager
def connected(
    patience: Patience, handle: Callable[[str, str, bytes], Answer] = echo
) -> Iterator[tuple[socket.socket, Connection]]:
    """A client's end of a connection that is served."""
    client, server = socket.socketpair()
    client.settimeout(10)
    connection = Connection(server, handle, Open(), patience)
    thread = threading.Thread(target=connection.serve)
    thread.start()
    with client:
        yield client, connection
    thread.join(timeout=60)
    assert not thread.is_alive()


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


@pytest.mark.parametrize(
    ("waited", "bytes_in", "rest"), [(0.0, 1, 30.0), (20.0, 1, 10.0), (31.0, 1, 0.0), (31.0, 1_000_000, 30.0)]
)
def test_a_request_must_keep_to_a_pace(waited: float, bytes_in: int, rest: float) -> None:
    """Thirty seconds, and one for each kilobyte that came; never more than thirty for the next byte."""
    assert Patience().rest(waited, bytes_in) == pytest.approx(rest, abs=0.01)


@pytest.mark.parametrize("size", [60, len(REQUEST) - 1], ids=["in the head", "in the body"])
def test_a_request_that_trickles_in_is_cut_though_it_never_stalls(size: int) -> None:
    """A slow-loris client holds a connection for so long and no longer."""
    with connected(Patience(stall=0.3, slowest=1e6)) as (client, _):
        sent = 0
        while not _closed(client):
            client.sendall(REQUEST[sent : sent + 1])
            sent += 1
            assert sent < size
    assert sent > 1


def _closed(client: socket.socket) -> bool:
    """Whether the server has hung up; waits a moment for it."""
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


def test_a_connection_without_a_request_may_wait_longer_than_one_that_stalls() -> None:
    """Between requests it is idle."""
    with connected(Patience(stall=0.1)) as (client, connection):
        client.sendall(REQUEST)
        assert client.recv(65536).endswith(b"POST /v1/models/m:predict body")
        time.sleep(0.2)
        assert connection.idle
        client.sendall(REQUEST)
        assert b"200 OK" in client.recv(65536)


def test_a_half_closed_client_gets_its_answer() -> None:
    """It sends no more, and still listens."""
    with connected(Patience()) as (client, _):
        client.sendall(REQUEST)
        client.shutdown(socket.SHUT_WR)
        assert received(client).endswith(b"POST /v1/models/m:predict body")


def test_an_answer_that_takes_too_long_is_given_up_in_the_official_words() -> None:
    """504 at the deadline, and the late answer goes nowhere; one that is in time is left alone."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(method: str, path: str, body: bytes) -> Answer:
        begun.set()
        assert go_on.wait(60)
        return echo(method, path, body)

    with connected(Patience(answer=5.0), slowly) as (client, connection):
        client.sendall(REQUEST)
        assert begun.wait(60)
        connection.expire(connection.since + 4.9)
        connection.expire(connection.since + 5.1)
        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout")
        assert b"Timed out waiting for notification" in answer
        go_on.set()
