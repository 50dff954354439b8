"""Values of JSON as tensors of a declared type. Pure: numpy only."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from serving.node.app.forms import ProblemKind

Array = NDArray[Any]

_FLOATS: Final[dict[str, type[np.floating[Any]]]] = {
    "DT_HALF": np.float16,
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
}
_INTEGERS: Final[dict[str, type[np.integer[Any]]]] = {
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
}
_WORDS: Final = {"DT_STRING": "a text", "DT_BOOL": "true or false"}
_SHOWN: Final = 60


class Unfit(Exception):
    """A value that an input cannot take. The text says what it is and what is needed."""

    def __init__(self, kind: ProblemKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def scalar(value: object, dtype: str) -> float | int | bytes | bool:
    """One value of that type. NaN and infinity pass: whether they may is the input's own matter.

    Raises:
        Unfit: it is of another type, or does not fit.
    """
    if dtype in _FLOATS:
        return _float(value, dtype)
    if dtype in _INTEGERS:
        return _integer(value, dtype)
    if dtype == "DT_BOOL" and isinstance(value, bool):
        return value
    if dtype == "DT_STRING":
        return _text(value)
    raise _of_another_type(value, dtype)


def column(values: Sequence[object], dtype: str) -> Array | None:
    """All values at once where each is plainly of that type; None where they must be looked at one by one."""
    kinds = set(map(type, values))
    if dtype in _FLOATS and kinds <= {float, int}:
        try:
            wide = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        return _narrowed(wide, dtype)
    if dtype in _INTEGERS and kinds == {int}:
        return _whole(cast("Sequence[int]", values), dtype)
    return _encoded(values) if dtype == "DT_STRING" and kinds == {str} else None


def row(value: object, dtype: str, shape: tuple[int, ...]) -> list[float | int | bytes | bool]:
    """The values of one row's tensor of that shape (-1: any size), flattened.

    Raises:
        Unfit: a value or the nesting is not what is declared.
    """
    if all(size == 1 for size in shape) and not isinstance(value, list):
        return [scalar(value, dtype)]
    if not shape:
        return [scalar(value, dtype)]
    if not isinstance(value, list):
        raise Unfit(ProblemKind.SHAPE, f"is {shown(value)}, where a list{_of(shape[0])} is needed")
    if shape[0] not in {-1, len(value)}:
        raise Unfit(ProblemKind.SHAPE, f"is a list of {len(value)}, where a list{_of(shape[0])} is needed")
    return [item for inner in value for item in row(inner, dtype, shape[1:])]


def array(flat: Sequence[float | int | bytes | bool], dtype: str, shape: tuple[int, ...]) -> Array:
    """The tensor of values that `scalar` gave. Raises ValueError where rows of a free size differ in it."""
    kind: type[np.generic] | None = _FLOATS.get(dtype) or _INTEGERS.get(dtype)
    if kind is None and dtype == "DT_BOOL":
        kind = np.bool_
    if kind is not None:
        return np.array(flat, dtype=kind).reshape(shape)
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(shape)


def shown(value: object) -> str:
    """The value as people see it in a message, cut."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _float(value: object, dtype: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _of_another_type(value, dtype)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    limit = float(np.finfo(_FLOATS[dtype]).max)
    if abs(number) > limit and not (isinstance(value, float) and math.isinf(value)):
        raise Unfit(ProblemKind.TYPE, f"is {shown(value)}, which does not fit {_name(dtype)}")
    return number


def _integer(value: object, dtype: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _of_another_type(value, dtype)
    limits = np.iinfo(_INTEGERS[dtype])
    if not limits.min <= value <= limits.max:
        raise Unfit(ProblemKind.TYPE, f"is {shown(value)}, which does not fit {_name(dtype)}")
    return value


def _text(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise Unfit(ProblemKind.TYPE, "is no text: it holds half of a surrogate pair") from error
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unfit(ProblemKind.TYPE, "is not base64") from error
    raise _of_another_type(value, "DT_STRING")


def _narrowed(wide: Array, dtype: str) -> Array | None:
    finite = np.isfinite(wide)
    if (np.abs(wide[finite]) > float(np.finfo(_FLOATS[dtype]).max)).any():
        return None
    return wide.astype(_FLOATS[dtype])


def _whole(values: Sequence[int], dtype: str) -> Array | None:
    limits = np.iinfo(_INTEGERS[dtype])
    return np.array(values, dtype=_INTEGERS[dtype]) if limits.min <= min(values) and max(values) <= limits.max else None


def _encoded(values: Sequence[object]) -> Array | None:
    made = np.empty(len(values), dtype=object)
    try:
        made[:] = [str(value).encode() for value in values]
    except UnicodeEncodeError:
        return None
    return made


def _of_another_type(value: object, dtype: str) -> Unfit:
    return Unfit(ProblemKind.TYPE, f"is {shown(value)}, where {_needed(dtype)} is needed")


def _needed(dtype: str) -> str:
    if dtype in _FLOATS:
        return "a number"
    return "a whole number" if dtype in _INTEGERS else _WORDS.get(dtype, f"a value of type {_name(dtype)}")


def _name(dtype: str) -> str:
    return dtype.removeprefix("DT_").lower()


def _of(size: int) -> str:
    return "" if size == -1 else f" of {size}"
