"""Whoever publishes the keys of tokens, at a port of this machine."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Publisher(ThreadingHTTPServer):
    """Says nothing of clients that do not like its certificate."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def published(content: Callable[[], str], port: int, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Serves what the content is now at every path of the port; by TLS, where a context is given."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content().encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with Publisher(("127.0.0.1", port), Answer) as server:
        if context:
            # The handshake is each connection's own business: one that fails ends nothing else.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(60)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)
