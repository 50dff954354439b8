"""The HTTP server: accepts connections, gives each a thread, and drains them."""

import logging
import math
import socket
import threading
import time

from serving.model_server.rest.http_connection import Connection, Handle
from serving.model_server.rest.patience import Patience
from serving.model_server.statuses import Code, StatusError

_LOG = logging.getLogger(__name__)
_BACKLOG = 512
#: Connections open at once. For one beyond them the one that has been idle for the longest is closed.
MOST_CONNECTIONS = 1024
#: Between two looks for requests that take too long.
_WATCH_SECONDS = 0.5


class _Admission:
    """Lets so many requests at once be worked on, however many connections there are."""

    def __init__(self, most: int) -> None:
        self._slots = threading.BoundedSemaphore(most)
        self.draining = False

    def __enter__(self) -> None:
        self._slots.acquire()

    def __exit__(self, *exc: object) -> None:
        self._slots.release()


def _listener(port: int) -> socket.socket:
    """Listen on all addresses, as officially: of both kinds where the system has them."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104  (as official)


class HttpServer:
    """Serves HTTP/1.1 with keep-alive. It starts to listen when made, and to answer with `start`."""

    def __init__(self, *, port: int, handle: Handle, threads: int, patience: Patience) -> None:
        """Listen on a port (0: a free one). Raises UNAVAILABLE where it cannot be had."""
        self._handle = handle
        self._patience = patience
        self._admission = _Admission(max(1, threads))
        self._open: set[Connection] = set()
        self._changed = threading.Condition()
        try:
            self._listener = _listener(port)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise StatusError(
                Code.UNAVAILABLE, f"Failed to start HTTP Server: port {port} cannot be listened on: {why}"
            ) from error
        self._thread = threading.Thread(target=self._accept, name="rest-accept", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        if math.isfinite(self._patience.answer):
            threading.Thread(target=self._watch, name="rest-watch", daemon=True).start()

    def drain(self, seconds: float) -> None:
        """Accept nothing more, let requests under way end within so many seconds, and close."""
        self._admission.draining = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _LOG.debug("The listener was already down: %s", error)
        self._listener.close()
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._open and time.monotonic() < deadline:
                for connection in self._open:
                    connection.hang_up_if_idle()
                self._changed.wait(timeout=min(0.05, max(0.0, deadline - time.monotonic())))

    def _accept(self) -> None:
        while True:
            with self._changed:
                self._make_room()
                self._changed.wait_for(lambda: len(self._open) < MOST_CONNECTIONS or self._admission.draining)
            if self._admission.draining:
                return
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if self._admission.draining:
                    return
                _LOG.warning("Could not accept a REST connection: %s", error.strerror)
                time.sleep(0.05)  # out of file descriptors, most likely: let some close
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(Connection(client, self._handle, self._admission, self._patience))

    def _make_room(self) -> None:
        """Where all connections are taken, close the one that has waited for a request the longest."""
        idle = [connection for connection in self._open if connection.idle]
        if len(self._open) >= MOST_CONNECTIONS and idle:
            min(idle, key=lambda connection: connection.since).hang_up_if_idle()

    def _watch(self) -> None:
        """Answer for requests that take too long."""
        while not self._admission.draining:
            time.sleep(min(_WATCH_SECONDS, self._patience.answer / 4))
            with self._changed:
                connections = tuple(self._open)
            now = time.monotonic()
            for connection in connections:
                connection.expire(now)

    def _begin(self, connection: Connection) -> None:
        with self._changed:
            self._open.add(connection)
        threading.Thread(target=self._serve, args=(connection,), name="rest", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()
