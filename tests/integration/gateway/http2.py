"""A client of the gRPC port that does on purpose what gRPC libraries never do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events

from tests.integration.gateway.asking import PREDICT


class RawClient:
    """One HTTP/2 connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()
        self._send()

    def begin(self, token: str, *, reset: bool = False) -> None:
        """Begin a call and never end it; or take it back at once."""
        headers = [(":method", "POST"), (":scheme", "http"), (":path", PREDICT), (":authority", "gateway")]
        headers += [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {token}")]
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(stream, headers)
        if reset:
            self._http.reset_stream(stream)
        self._send()

    def headers(self) -> dict[str, str]:
        """Of the next answer."""
        while content := self._socket.recv(65536):
            for event in self._http.receive_data(content):
                if isinstance(event, h2.events.ResponseReceived):
                    return dict(event.headers)
        raise AssertionError("the connection was closed without an answer")

    def closed(self) -> bool:
        """Whether the gateway closes the connection, by the time that the socket gives it."""
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _send(self) -> None:
        try:
            self._socket.sendall(self._http.data_to_send())
        except ConnectionError:
            # Closed already: `closed` says so.
            return


@contextmanager
def http2(address: str) -> Iterator[RawClient]:
    """A client connected to ``host:port``."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield RawClient(connection)
