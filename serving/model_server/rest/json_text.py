"""JSON text to the letter as RapidJSON's pretty writer gives it, which the official server writes answers with.

Four blanks a level; in its "single line" mode, which the writer of predictions switches on inside a row, arrays stay
on one line. What a client parses is the same either way; a script that compares text sees no difference.
"""

import base64
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from serving.model_server.rest.decimals import decimal

INDENT = "    "

#: Characters of a request's value that an error quotes. The official server quotes all of it, be it a body of 50 MB.
MOST_QUOTED = 65_536
_LARGEST_SINGLE = 3.4028234e38

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_SHORT = {b'"': b'\\"', b"\\": b"\\\\", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}


def string(value: bytes) -> str:
    """Return bytes as a JSON string. What is not UTF-8 passes as it is, by surrogates that `encoded` undoes."""
    escaped = _SPECIAL.sub(lambda found: _SHORT.get(found[0]) or b"\\u%04X" % found[0][0], value)
    return f'"{escaped.decode("utf-8", "surrogateescape")}"'


def base64_object(value: bytes, indent: str) -> str:
    """Return `{"b64": …}`, which always takes lines of its own, at an indentation."""
    text = base64.b64encode(value).decode()
    return f'{{\n{indent}{INDENT}"b64": "{text}"\n{indent}}}'


def encoded(text: str) -> bytes:
    """Return a whole document's bytes."""
    return text.encode("utf-8", "surrogateescape")


def nested(texts: Sequence[str], shape: Sequence[int]) -> str:
    """Return values in arrays of this shape, each on one line, as in a row of predictions."""
    level = list(texts)
    for size in reversed(shape):
        if size == 0:
            level = ["[]"] * max(1, math.prod(shape[: list(shape).index(size)]))
            continue
        level = [f"[{', '.join(level[start : start + size])}]" for start in range(0, len(level), size)]
    return level[0]


def nested_lines(texts: Sequence[str], shape: Sequence[int], indent: str) -> str:
    """Return values in arrays of this shape with a line for each element; `indent` is that of the outermost."""
    if not shape:
        return texts[0]
    if not math.prod(shape):
        return _hollow(shape, indent)
    level = list(texts)
    for depth in range(len(shape) - 1, -1, -1):
        outer = indent + INDENT * depth
        between = f",\n{outer}{INDENT}"
        size = shape[depth]
        level = [
            f"[\n{outer}{INDENT}{between.join(level[start : start + size])}\n{outer}]"
            for start in range(0, len(level), size)
        ]
    return level[0]


def _hollow(shape: Sequence[int], indent: str) -> str:
    """Return arrays that hold no value at all."""
    if not shape[0]:
        return "[]"
    inner = _hollow(shape[1:], indent + INDENT)
    between = f",\n{indent}{INDENT}"
    return f"[\n{indent}{INDENT}{between.join([inner] * shape[0])}\n{indent}]"


def value_text(value: Any) -> str:
    """Return a JSON value as an error message quotes it: a number alone as answers write it, anything else whole."""
    if type(value) is float:
        return decimal(value, single=abs(value) <= _LARGEST_SINGLE)
    try:
        text = document(value)
    except RecursionError:
        return "(nested too deeply to be quoted)"
    return text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}…"


def document(value: Any, indent: str = "") -> str:
    """Return any parsed JSON value as the pretty writer writes it, such as a request's value in an error."""
    if isinstance(value, dict):
        members = [f"{string(raw(name))}: {document(each, indent + INDENT)}" for name, each in value.items()]
        return _lines("{", members, "}", indent)
    if isinstance(value, list):
        return _lines("[", [document(each, indent + INDENT) for each in value], "]", indent)
    return _SCALARS[type(value)](value)


def _lines(opening: str, members: Sequence[str], closing: str, indent: str) -> str:
    if not members:
        return opening + closing
    between = f",\n{indent}{INDENT}"
    return f"{opening}\n{indent}{INDENT}{between.join(members)}\n{indent}{closing}"


def raw(text: str) -> bytes:
    """Return the bytes that a parsed JSON string stands for: those that are no UTF-8 came through as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _shortest(value: float) -> str:
    """Return a double in the fewest digits that give it back, in the form that RapidJSON chooses for its size."""
    if not math.isfinite(value):
        return decimal(value)
    sign = "-" if math.copysign(1, value) < 0 else ""
    digits, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = digits.partition(".")
    significant = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) if whole != "0" else int(exponent or 0) - _zeros(fraction)
    significant = significant.rstrip("0")
    if not significant:
        return f"{sign}0.0"
    if len(significant) <= point <= _LARGEST_PLAIN:
        return f"{sign}{significant}{'0' * (point - len(significant))}.0"
    if 0 < point <= _LARGEST_PLAIN:
        return f"{sign}{significant[:point]}.{significant[point:]}"
    if _SMALLEST_PLAIN < point <= 0:
        return f"{sign}0.{'0' * -point}{significant}"
    head = significant[0] + (f".{significant[1:]}" if len(significant) > 1 else "")
    return f"{sign}{head}e{point - 1}"


def _zeros(fraction: str) -> int:
    return len(fraction) - len(fraction.lstrip("0"))


#: RapidJSON writes 1e21 and 0.000001 with an exponent, anything between them without.
_LARGEST_PLAIN, _SMALLEST_PLAIN = 21, -6

_SCALARS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    int: str,
    float: _shortest,
    str: lambda value: string(raw(value)),
}
