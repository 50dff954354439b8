"""Reading JSON as RapidJSON reads it for the official server: the same documents, and the same words where it cannot.

The quick parser reads nearly everything. What it refuses is read by the standard library's, which knows NaN and
Infinity, and what both refuse is gone through by the rules of RapidJSON's `reader.h` (1.1.0): it finds the fault and
the offset that the official server would name, or reads the few documents that only RapidJSON takes.
"""

import json
import re
from typing import Any, NoReturn

import orjson

from serving.model_server.rest.json_text import value_text
from serving.model_server.statuses import StatusError, invalid_argument

_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_WORDS = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_NOT_FINITE = {b"N": (b"NaN", "nan"), b"I": (b"Inf", "inf")}
_ESCAPES = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t",
}  # fmt: skip
#: The standard library takes one without its partner.
_HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Levels of nesting. RapidJSON recurses too, but without a limit: the official server ends when its stack does.
MOST_LEVELS = 200


def parse_json(body: bytes) -> dict[str, Any]:
    """Parse a request's body; NaN and Infinity are numbers here. Raises INVALID_ARGUMENT where it is no JSON object."""
    if not body:
        raise _error("The document is empty")
    document = _parsed(body)
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {value_text(document)} Is not object")
    return document


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if _HIGH_SURROGATE.search(body):
            return _Reader(body).document()
    try:
        return json.loads(body, parse_constant=float, parse_int=_integer, parse_float=_finite)
    except (ValueError, RecursionError):
        return _Reader(body).document()


def _integer(text: str) -> int | float:
    """An integer beyond 64 bits is a double."""
    if len(text) > _LONGEST_INTEGER:
        return _finite(text)
    value = int(text)
    return value if -(2**63) <= value < 2**64 else float(value)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)  # the reader below finds where
    return value


_LONGEST_INTEGER = 20


def _error(reason: str, offset: int | None = None) -> StatusError:
    place = "" if offset is None else f" at offset: {offset}"
    return invalid_argument(f"JSON Parse error: {reason}{place}")


class _Reader:
    """One pass over a document, value by value."""

    def __init__(self, body: bytes) -> None:
        """Begin at the start, or behind a byte order mark."""
        self._body = body
        self._at = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
        self._level = 0

    def document(self) -> Any:
        """Read it all. Raises INVALID_ARGUMENT with what is wrong, and where."""
        self._skip()
        if not self._peek():
            self._fail("The document is empty.")
        value = self._value()
        self._skip()
        if self._peek():
            self._fail("The document root must not be followed by other values.")
        return value

    def _fail(self, reason: str, offset: int | None = None) -> NoReturn:
        raise _error(reason, self._at if offset is None else offset)

    def _peek(self) -> bytes:
        """Return the next byte, empty at the end; RapidJSON takes a NUL for the end too."""
        byte = self._body[self._at : self._at + 1]
        return b"" if byte == b"\0" else byte

    def _take(self, byte: bytes) -> bool:
        if self._peek() != byte:
            return False
        self._at += 1
        return True

    def _skip(self) -> None:
        found = _SPACE.match(self._body, self._at)
        self._at = found.end() if found else self._at

    def _value(self) -> Any:
        byte = self._peek()
        if byte == b"{":
            return self._nested(self._object)
        if byte == b"[":
            return self._nested(self._array)
        if byte == b'"':
            return self._string()
        if byte in _WORDS:
            return self._word(*_WORDS[byte])
        return self._number()

    def _nested(self, read: Any) -> Any:
        self._level += 1
        if self._level > MOST_LEVELS:
            self._fail("Nested too deeply.")
        value = read()
        self._level -= 1
        return value

    def _word(self, word: bytes, value: Any) -> Any:
        for index in range(len(word)):
            if not self._take(word[index : index + 1]):
                self._fail("Invalid value.")
        return value

    def _object(self) -> dict[str, Any]:
        self._at += 1
        self._skip()
        members: dict[str, Any] = {}
        if self._take(b"}"):
            return members
        while True:
            if self._peek() != b'"':
                self._fail("Missing a name for object member.")
            name = self._string()
            self._skip()
            if not self._take(b":"):
                self._fail("Missing a colon after a name of object member.")
            self._skip()
            members[name] = self._value()
            self._skip()
            if self._take(b"}"):
                return members
            if not self._take(b","):
                self._fail("Missing a comma or } after an object member.")
            self._skip()

    def _array(self) -> list[Any]:
        self._at += 1
        self._skip()
        elements: list[Any] = []
        if self._take(b"]"):
            return elements
        while True:
            elements.append(self._value())
            self._skip()
            if self._take(b"]"):
                return elements
            if not self._take(b","):
                self._fail("Missing a comma or ] after an array element.")
            self._skip()

    def _string(self) -> str:
        self._at += 1
        parts: list[bytes] = []
        while True:
            found = _PLAIN.match(self._body, self._at)
            if found:
                parts.append(found[0])
                self._at = found.end()
            byte = self._peek()
            if byte == b'"':
                self._at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if byte == b"\\":
                parts.append(self._escape())
            elif byte:
                self._fail("Invalid escape character in string.")
            else:
                self._fail("Missing a closing quotation mark in string.")

    def _escape(self) -> bytes:
        begun = self._at
        self._at += 1
        byte = self._peek()
        if byte in _ESCAPES:
            self._at += 1
            return _ESCAPES[byte]
        if byte != b"u":
            self._fail("Invalid escape character in string.", begun)
        self._at += 1
        code = self._hexadecimal(begun)
        if 0xD800 <= code <= 0xDBFF:
            if not (self._take(b"\\") and self._take(b"u")):
                self._fail("The surrogate pair in string is invalid.", begun)
            low = self._hexadecimal(begun)
            if not 0xDC00 <= low <= 0xDFFF:
                self._fail("The surrogate pair in string is invalid.", begun)
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00))
        return chr(code).encode("utf-8", "surrogatepass")

    def _hexadecimal(self, begun: int) -> int:
        digits = self._body[self._at : self._at + 4]
        if len(digits) < 4 or not all(digit in b"0123456789abcdefABCDEF" for digit in digits):
            self._fail("Incorrect hex digit after \\u escape in string.", begun)
        self._at += 4
        return int(digits, 16)

    def _number(self) -> int | float:
        begun = self._at
        found = _INTEGER.match(self._body, self._at)
        if not found:
            return self._not_finite()
        self._at = found.end()
        whole = True
        if self._take(b"."):
            whole = False
            self._digits("Miss fraction part in number.")
        if self._peek() in {b"e", b"E"}:
            self._at += 1
            whole = False
            if self._peek() in {b"+", b"-"}:
                self._at += 1
            self._digits("Miss exponent in number.")
        text = self._body[begun : self._at].decode()
        try:
            return _integer(text) if whole else _finite(text)
        except ValueError:
            self._fail("Number too big to be stored in double.", begun)

    def _digits(self, missing: str) -> None:
        begun = self._at
        while self._peek().isdigit():
            self._at += 1
        if self._at == begun:
            self._fail(missing)

    def _not_finite(self) -> float:
        minus = self._take(b"-")
        word, name = _NOT_FINITE.get(self._peek(), (b"?", ""))
        self._word(word, None)
        if word == b"Inf" and self._peek() == b"i":
            self._word(b"inity", None)
        return float(f"-{name}" if minus else name)
