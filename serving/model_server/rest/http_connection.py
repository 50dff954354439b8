"""One HTTP/1.1 connection: bytes in, requests handled in order, bytes out.

A thread per connection with a C parser measured 10,000 to 19,000 requests a second here, where the standard library's
server did 5,000 to 7,000 and an ASGI server with a pool of threads 3,500: the gateway in front keeps few connections.
"""

import http
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol

from serving.model_server.rest.answer import BAD_REQUEST, NOT_IMPLEMENTED, Answer
from serving.model_server.rest.http_body import joined
from serving.model_server.rest.http_requests import Refused, Request, RequestParser
from serving.model_server.rest.json_answers import error_body
from serving.model_server.rest.patience import Patience
from serving.model_server.statuses import Code, StatusError, http_status

_LOG = logging.getLogger(__name__)
#: Bytes of one read: of a request's first, and of what follows. A buffer of the larger size costs system calls itself.
_FIRST_READ, _READ = 16 * 1024, 256 * 1024
#: A system's `struct timeval`: seconds and microseconds.
_TIME = struct.Struct("@ll")
_PAGES = {page.status: page for page in (BAD_REQUEST, NOT_IMPLEMENTED)}

Handle = Callable[[str, str, bytes], Answer]


class Admission(Protocol):
    """Bounds how many requests are worked on at once, and says when the server is going down."""

    draining: bool

    def __enter__(self) -> object:
        """Wait for a turn."""

    def __exit__(self, *exc: object) -> None:
        """Give it back."""


class Connection:
    """One client's connection, served by the thread that calls `serve`."""

    def __init__(self, client: socket.socket, handle: Handle, admission: Admission, patience: Patience) -> None:
        self._client = client
        self._handle = handle
        self._admission = admission
        self._patience = patience
        #: Whether it waits for a request: then it may be closed at any time without a loss.
        self.idle = True
        #: When it began to do what it does now, be it waiting or working. Seconds of the monotonic clock.
        self.since = time.monotonic()
        self._answering = threading.Lock()
        self._working = self._late = False
        self._timeouts: dict[int, float] = {}

    def serve(self) -> None:
        """Answer requests until the client, an error, or the server's drain ends the connection."""
        try:
            self._serve()
        except OSError as error:
            _LOG.debug("REST connection ended: %s", error)
        finally:
            self._client.close()

    def expire(self, now: float) -> None:
        """Answer for the request that is worked on, where it has taken too long. Its run has a limit of its own."""
        with self._answering:
            if not self._working or now - self.since < self._patience.answer:
                return
            self._late = True
        error = StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
        try:
            self._send(
                Answer(status=http_status(error.code), body=error_body(error)), keep_alive=False, head_only=False
            )
            self._client.shutdown(socket.SHUT_RDWR)
        except OSError as gone:
            _LOG.debug("REST connection ended: %s", gone)

    def hang_up_if_idle(self) -> None:
        """Wake the serving thread out of its wait for a next request that will not be taken."""
        if self.idle:
            try:
                self._client.shutdown(socket.SHUT_RD)
            except OSError as error:
                _LOG.debug("REST connection was already gone: %s", error)

    def _serve(self) -> None:
        parser = RequestParser(lambda: self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n"))
        received = 0
        while True:
            if parser.current is None:
                self.idle, self.since, received = True, time.monotonic(), 0
                if self._admission.draining:
                    return
            data = self._read(received)
            if not data:
                return
            if not received:
                self.idle, self.since = False, time.monotonic()
            received += len(data)
            try:
                parser.feed(data)
            except Refused as refused:
                self._send(_refusal(refused), keep_alive=False, head_only=False)
                return
            for request in parser.complete:
                if not self._answer(request):
                    return
            parser.complete.clear()

    def _read(self, received: int) -> bytes:
        """Wait for bytes; none where the client has closed, or is too slow with a request that it has begun."""
        rest = self._patience.rest(time.monotonic() - self.since, received) if received else self._patience.idle
        if not rest:
            return b""
        self._set_timeout(socket.SO_RCVTIMEO, rest)
        return self._client.recv(_READ if received else _FIRST_READ)

    def _set_timeout(self, option: int, seconds: float) -> None:
        """Let the system end a read or a write that takes so long, with BlockingIOError.

        `settimeout` would wait and then read: one system call more for each, and there are four in a request.
        """
        if self._timeouts.get(option) != seconds:
            whole = int(seconds)
            time_value = _TIME.pack(whole, max(1, int((seconds - whole) * 1e6)))
            self._client.setsockopt(socket.SOL_SOCKET, option, time_value)
            self._timeouts[option] = seconds

    def _answer(self, request: Request) -> bool:
        path = _path(request.url)
        self.since, self._working = time.monotonic(), True
        with self._admission:
            answer = self._handle(request.method, path, joined(request.chunks, gzipped=request.gzipped))
        with self._answering:
            self._working = False
            if self._late:
                return False
        keep_alive = request.keep_alive and answer.keep_alive and not self._admission.draining
        self._send(answer, keep_alive=keep_alive, head_only=request.method == "HEAD")
        return keep_alive

    def _send(self, answer: Answer, *, keep_alive: bool, head_only: bool) -> None:
        lines = [f"HTTP/1.1 {int(answer.status)} {_reason(answer.status)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines += [f"content-length: {len(answer.body)}", f"connection: {'keep-alive' if keep_alive else 'close'}"]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._set_timeout(socket.SO_SNDTIMEO, self._patience.stall)
        self._client.sendall(head if head_only else head + answer.body)


def _refusal(refused: Refused) -> Answer:
    page = _PAGES.get(refused.status)
    if page is not None:
        _LOG.debug("%s", refused.message)
        return page
    return Answer(status=refused.status, body=error_body(StatusError(Code.INVALID_ARGUMENT, refused.message)))


def _path(url: bytes) -> str:
    """Return path, query and fragment of a request's target, which may be an absolute address.

    The query stays: the official server matches the whole against its paths, so that one with a query is malformed.
    """
    if not url.startswith(b"/"):
        _, found, rest = url.partition(b"://")
        url = b"/" + rest.partition(b"/")[2] if found else url
    return url.decode("latin-1")


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"  # 499, which only proxies know
