"""JSON values to arrays: nested lists of one dtype, checked value by value as the official server checks them.

https://www.tensorflow.org/tfx/serving/api_rest#encoding_binary_values says how bytes are written: `{"b64": "…"}`.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from roost.adapters.tf_messages import Array, numpy_dtype, types_pb2
from serving.model_server.statuses import Code, StatusError, invalid_argument

#: Characters of a JSON value that an error message quotes.
_QUOTED = 512

_TYPE_NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}


def type_name(value: object) -> str:
    """Return the name that error messages give a JSON value's type."""
    if isinstance(value, bool):
        return "True" if value else "False"
    return _TYPE_NAMES[type(value)]


def quoted(value: object) -> str:
    """Return a JSON value as text for an error message, cut where it is long."""
    text = json.dumps(value, indent=4, ensure_ascii=False)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…"


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
    leaves: list[Any] = []
    _flatten(value, 0, shape, leaves)
    return leaves_to_array(leaves, dtype).reshape(shape)


def leaves_to_array(leaves: Sequence[Any], dtype: int) -> Array:
    """Return scalars as a flat array of a TensorProto dtype; raises as `array_of`."""
    convert = _CONVERTERS.get(dtype)
    if convert is None:
        sample = quoted(leaves[0]) if leaves else "[]"
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {sample} to type: {dtype_name(dtype)}")
    return convert(leaves, dtype)


def dtype_name(dtype: int) -> str:
    """Return TensorFlow's short name of a dtype, such as `float` or `int64`."""
    name = types_pb2.DataType.Name(dtype)
    return str(name).removeprefix("DT_").lower()


def _flatten(value: object, level: int, shape: tuple[int, ...], leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {quoted(value)} found at incorrect level: {level + 1} in the JSON DOM. "
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
        f"JSON Value: {quoted(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}"
    )


def _require(leaves: Sequence[Any], allowed: tuple[type, ...], dtype: int) -> None:
    """Refuse the first value whose type is not exactly one of these (a bool is no number)."""
    if set(map(type, leaves)) <= set(allowed):
        return
    raise _type_error(next(value for value in leaves if type(value) not in allowed), dtype)


def _floats(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, (int, float), dtype)
    target = numpy_dtype(dtype)
    limits = np.finfo(target)
    largest_whole = 2 ** (limits.nmant + 1) - 1
    for value in leaves:
        whole_lost = type(value) is int and abs(value) > largest_whole
        if whole_lost or (math.isfinite(value) and abs(value) > float(limits.max)):
            raise invalid_argument(
                f"Cannot convert JSON value: {value} to {dtype_name(dtype)} without loss of precision."
            )
    return np.array(leaves, dtype=target)


def _integers(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, (int,), dtype)
    target = numpy_dtype(dtype)
    limits = np.iinfo(target)
    for value in leaves:
        if not limits.min <= value <= limits.max:
            raise _type_error(value, dtype)
    return np.array(leaves, dtype=target)


def _booleans(leaves: Sequence[Any], dtype: int) -> Array:
    _require(leaves, (bool,), dtype)
    return np.array(leaves, dtype=np.bool_)


def _strings(leaves: Sequence[Any], dtype: int) -> Array:
    values = np.empty(len(leaves), dtype=np.object_)
    for index, value in enumerate(leaves):
        if isinstance(value, str):
            values[index] = value.encode("utf-8", "surrogatepass")
        elif isinstance(value, dict):
            values[index] = _decoded(value)
        else:
            raise _type_error(value, dtype)
    return values


def _decoded(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {quoted(value)} not formatted correctly for base64 data")
    text = value["b64"].translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


_CONVERTERS: dict[int, Callable[[Sequence[Any], int], Array]] = {
    types_pb2.DT_FLOAT: _floats,
    types_pb2.DT_DOUBLE: _floats,
    types_pb2.DT_HALF: _floats,
    types_pb2.DT_INT8: _integers,
    types_pb2.DT_INT16: _integers,
    types_pb2.DT_INT32: _integers,
    types_pb2.DT_INT64: _integers,
    types_pb2.DT_UINT8: _integers,
    types_pb2.DT_UINT16: _integers,
    types_pb2.DT_UINT32: _integers,
    types_pb2.DT_UINT64: _integers,
    types_pb2.DT_BOOL: _booleans,
    types_pb2.DT_STRING: _strings,
}
