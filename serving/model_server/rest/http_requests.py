"""Bytes of a connection to requests."""

import http
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

#: Bytes of a request's line and headers. A body may be of any size, as officially: bound it in the gateway before.
MOST_HEAD = 64 * 1024
#: Of a method that the parser does not know.
_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.\d\r?\n")


class Refused(Exception):
    """The bytes of a connection cannot become a request; it is told so and closed."""

    def __init__(self, status: http.HTTPStatus, message: str) -> None:
        """Keep the HTTP status and what to say."""
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, as far as it has come in."""

    url: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    head_size: int = 0
    method: str = ""
    keep_alive: bool = True
    gzipped: bool = False


class RequestParser:
    """Collects the parser's callbacks into requests. Several may come in one read."""

    def __init__(self, send_continue: Callable[[], None]) -> None:
        self.complete: list[Request] = []
        self.current: Request | None = None
        self._send_continue = send_continue
        self._expects_continue = False
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes in. Raises Refused where they are no HTTP/1 request, or too large a one."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An upgrade is an offer that may be ignored; what follows it on the wire is not for us to read.
            for request in self.complete:
                request.keep_alive = False
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserInvalidMethodError as error:
            known = http.HTTPStatus.NOT_IMPLEMENTED if _REQUEST_LINE.match(data) else http.HTTPStatus.BAD_REQUEST
            raise Refused(known, f"Malformed HTTP request: {error}") from error
        except httptools.HttpParserError as error:
            raise Refused(http.HTTPStatus.BAD_REQUEST, f"Malformed HTTP request: {error}") from error

    def on_message_begin(self) -> None:
        """A request begins."""
        self.current = Request()
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        request = self._of_size(len(url))
        request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        request = self._of_size(len(name) + len(value))
        match name.lower():
            case b"expect" if value.lower() == b"100-continue":
                self._expects_continue = True
            case b"content-encoding":
                request.gzipped = b"gzip" in value.lower()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        if self._expects_continue:
            self._send_continue()

    def on_body(self, chunk: bytes) -> None:
        """A piece of its body."""
        self._current().chunks.append(chunk)

    def on_message_complete(self) -> None:
        """It is there as a whole."""
        request = self._current()
        request.method = self._parser.get_method().decode("ascii")
        request.keep_alive = bool(self._parser.should_keep_alive())
        self.complete.append(request)
        self.current = None

    def _current(self) -> Request:
        if self.current is None:
            raise Refused(http.HTTPStatus.BAD_REQUEST, "Malformed HTTP request")
        return self.current

    def _of_size(self, more: int) -> Request:
        request = self._current()
        request.head_size += more
        if request.head_size > MOST_HEAD:
            raise Refused(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The head is over {MOST_HEAD} bytes")
        return request
