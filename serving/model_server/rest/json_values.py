"""JSON values to arrays: nested lists of one dtype, checked value by value as the official server checks them.

https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values says how bytes are written: `{"b64": "…"}`.
"""

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from roost.adapters.tf_messages import Array, numpy_dtype, types_pb2
from serving.model_server.rest.json_text import raw, value_text
from serving.model_server.statuses import Code, StatusError, invalid_argument

_TYPE_NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}
#: numpy's own limit; TensorFlow's is 254.
_MOST_DIMENSIONS = 64


def type_name(value: object) -> str:
    """Return the name that error messages give a JSON value's type."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return _TYPE_NAMES[type(value)]


def is_base64(value: object) -> bool:
    """Whether a JSON value is `{"b64": "…"}` and nothing more."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def shape_of(value: object) -> tuple[int, ...]:
    """Return the shape that a nested list has if it is regular: its own length, and its first element's shape."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def array_of(value: object, dtype: int) -> Array:
    """Return a JSON value as an array of a TensorProto dtype.

    Raises INVALID_ARGUMENT for an irregular list, a value of another type, or a number that would lose precision;
    UNIMPLEMENTED for a dtype that JSON cannot carry.
    """
    shape = shape_of(value)
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid_argument(f"A list of {len(shape)} levels is no tensor; there may be {_MOST_DIMENSIONS}")
    leaves: list[Any] = []
    _flatten(value, 0, shape, leaves)
    return leaves_to_array(leaves, dtype).reshape(shape)


def leaves_to_array(leaves: Sequence[Any], dtype: int) -> Array:
    """Return scalars as a flat array of a TensorProto dtype; raises as `array_of`."""
    convert = _CONVERTERS.get(dtype)
    if convert is not None:
        return convert(leaves, dtype)
    for value in leaves:
        if isinstance(value, dict):
            raise _type_error(value, dtype)
        text = value_text(value)
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {text} to type: {dtype_name(dtype)}")
    return np.empty(0, dtype=numpy_dtype(dtype))


def dtype_name(dtype: int) -> str:
    """Return TensorFlow's short name of a dtype, such as `float` or `int64`."""
    name = types_pb2.DataType.Name(dtype)
    return str(name).removeprefix("DT_").lower()


def decoded_base64(value: object) -> bytes:
    """Return the bytes of `{"b64": "…"}`. Raises INVALID_ARGUMENT.

    As officially white space may stand anywhere, and the padding may be missing, but not wrong; the alphabet for
    addresses (`-` and `_`) is not read.
    """
    if not isinstance(value, dict) or not is_base64(value):
        raise invalid_argument(f"JSON Value: {value_text(value)} not formatted correctly for base64 data")
    text = value["b64"].translate(_NO_SPACE)
    digits = text.rstrip("=")
    missing = -len(digits) % 4
    if len(text) - len(digits) not in {0, missing}:
        raise invalid_argument("Unable to base64 decode")
    try:
        return base64.b64decode(digits + "=" * missing, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


#: A dot pads, too.
_NO_SPACE = str.maketrans(".", "=", " \t\n\r\v\f")


def _flatten(value: object, level: int, shape: tuple[int, ...], leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {value_text(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        leaves.append(value)
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    if level == len(shape) - 1 and not any(isinstance(each, list) for each in value):
        leaves.extend(value)  # the innermost lists, where the time goes
        return
    for each in value:
        _flatten(each, level + 1, shape, leaves)


def _type_error(value: object, dtype: int) -> StatusError:
    return invalid_argument(
        f"JSON Value: {value_text(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}"
    )


def _require(leaves: Sequence[Any], allowed: frozenset[type], dtype: int) -> None:
    """Refuse the first value whose type is not exactly one of these (a bool is no number)."""
    if not set(map(type, leaves)) <= allowed:
        raise _type_error(next(value for value in leaves if type(value) not in allowed), dtype)


_NUMBERS, _WHOLE, _FLAGS = frozenset({int, float}), frozenset({int}), frozenset({bool})
_INT32 = np.iinfo(np.int32)


#: The largest whole number, and the largest number at all, that a float type holds exactly, by dtype.
_LIMITS: dict[np.dtype[Any], tuple[int, float]] = {
    np.dtype(kind): (2 ** (np.finfo(kind).nmant + 1) - 1, float(np.finfo(kind).max))
    for kind in (np.float32, np.float64)
}
#: From so many numbers on it is quicker to look at all of them at once.
_MANY = 32


def lossy(value: float, target: np.dtype[Any]) -> bool:
    """Whether a number does not fit a float type: an integer of too many bits, or beyond its range."""
    largest_whole, largest = _LIMITS[target]
    if type(value) is int:
        return abs(value) > largest_whole
    return abs(value) > largest and math.isfinite(value)


def lossy_error(value: float, dtype: int) -> StatusError:
    """Return INVALID_ARGUMENT for such a number."""
    text = value_text(value)
    return invalid_argument(f"Cannot convert JSON value: {text} to {dtype_name(dtype)} without loss of precision.")


def _floats(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, _NUMBERS, dtype)
    target = numpy_dtype(dtype)
    if len(leaves) < _MANY:
        for value in leaves:
            if lossy(value, target):
                raise lossy_error(value, dtype)
        return np.array(leaves, dtype=target)
    wide = np.array(leaves, dtype=np.float64)
    # Only what is larger than the largest exact integer can be lossy; those few are looked at one by one.
    for index in np.flatnonzero(np.abs(wide) >= _LIMITS[target][0]).tolist():
        if lossy(leaves[index], target):
            raise lossy_error(leaves[index], dtype)
    return wide.astype(target)


def _integers(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, _WHOLE, dtype)
    target = numpy_dtype(dtype)
    # As in the wire form, whatever is narrower than 32 bits is read as 32 and cut: 300 becomes 44 in a uint8.
    limits = _INT32 if dtype in _NARROW else np.iinfo(target)
    if leaves and not (limits.min <= min(leaves) and max(leaves) <= limits.max):
        raise _type_error(next(value for value in leaves if not limits.min <= value <= limits.max), dtype)
    return np.array(leaves, dtype=np.int32).astype(target) if dtype in _NARROW else np.array(leaves, dtype=target)


def _booleans(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, _FLAGS, dtype)
    return np.array(leaves, dtype=np.bool_)


def _strings(leaves: Sequence[Any], dtype: int) -> Array:
    values = np.empty(len(leaves), dtype=np.object_)
    for index, value in enumerate(leaves):
        if isinstance(value, str):
            values[index] = raw(value)
        elif isinstance(value, dict):
            values[index] = decoded_base64(value)
        else:
            raise _type_error(value, dtype)
    return values


_NARROW = frozenset({types_pb2.DT_INT8, types_pb2.DT_INT16, types_pb2.DT_UINT8})
_CONVERTERS: dict[int, Callable[[Sequence[Any], int], Array]] = {
    types_pb2.DT_FLOAT: _floats,
    types_pb2.DT_DOUBLE: _floats,
    types_pb2.DT_INT8: _integers,
    types_pb2.DT_INT16: _integers,
    types_pb2.DT_INT32: _integers,
    types_pb2.DT_INT64: _integers,
    types_pb2.DT_UINT8: _integers,
    types_pb2.DT_UINT32: _integers,
    types_pb2.DT_UINT64: _integers,
    types_pb2.DT_BOOL: _booleans,
    types_pb2.DT_STRING: _strings,
}
