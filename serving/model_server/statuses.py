"""The canonical status codes and the one exception that carries them through the server."""

import enum

#: TensorFlow Serving cuts a status message at this length, in bytes, before it goes to a gRPC client, and says so.
MESSAGE_LIMIT = 1024
_CUT = b"...TRUNCATED"


class Code(enum.IntEnum):
    """The canonical codes, by the numbers that gRPC and TensorFlow share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


class StatusError(Exception):
    """A request or a load that ends with this status; `str()` gives `CODE: message`, as absl prints it."""

    def __init__(self, code: Code, message: str) -> None:
        """Keep the code and the message."""
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return `CODE: message`."""
        return f"{self.code.name}: {self.message}"

    @property
    def raw(self) -> bytes:
        """The message's bytes: TensorFlow quotes what it was given, and that need not be UTF-8."""
        return self.message.encode("utf-8", "surrogateescape")

    @property
    def shortened(self) -> bytes:
        """The message as it goes to a gRPC client."""
        raw = self.raw
        return raw if len(raw) <= MESSAGE_LIMIT else raw[:MESSAGE_LIMIT] + _CUT


def invalid_argument(message: str) -> StatusError:
    """Return an INVALID_ARGUMENT to raise."""
    return StatusError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """Return a NOT_FOUND to raise."""
    return StatusError(Code.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    """Return a FAILED_PRECONDITION to raise."""
    return StatusError(Code.FAILED_PRECONDITION, message)


def http_status(code: Code) -> int:
    """Return the HTTP status that REST answers for a code; 500 for those without one of their own."""
    return _HTTP.get(code, 500)
