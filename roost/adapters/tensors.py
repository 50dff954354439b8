"""Arrays to TensorProtos and back, by numpy alone."""

import importlib  # noqa: I001  (the parent, last but one, must be registered before the messages)
import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from roost.adapters import tf_parent  # noqa: F401  (registers the bare parent)
from tensorflow.core.framework import tensor_pb2, types_pb2

Array = npt.NDArray[Any]

#: TensorProto dtype number to numpy's. Strings are handled apart: numpy holds them as objects.
_NUMPY_DTYPES: dict[int, np.dtype[Any]] = {
    types_pb2.DT_FLOAT: np.dtype(np.float32),
    types_pb2.DT_DOUBLE: np.dtype(np.float64),
    types_pb2.DT_HALF: np.dtype(np.float16),
    types_pb2.DT_INT8: np.dtype(np.int8),
    types_pb2.DT_INT16: np.dtype(np.int16),
    types_pb2.DT_INT32: np.dtype(np.int32),
    types_pb2.DT_INT64: np.dtype(np.int64),
    types_pb2.DT_UINT8: np.dtype(np.uint8),
    types_pb2.DT_UINT16: np.dtype(np.uint16),
    types_pb2.DT_UINT32: np.dtype(np.uint32),
    types_pb2.DT_UINT64: np.dtype(np.uint64),
    types_pb2.DT_COMPLEX64: np.dtype(np.complex64),
    types_pb2.DT_COMPLEX128: np.dtype(np.complex128),
    types_pb2.DT_BOOL: np.dtype(np.bool_),
    types_pb2.DT_STRING: np.dtype(np.object_),
}
if importlib.util.find_spec("ml_dtypes") is not None:  # it comes with TensorFlow; numpy itself has no bfloat16
    _NUMPY_DTYPES[types_pb2.DT_BFLOAT16] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
_PROTO_DTYPES = {dtype: number for number, dtype in _NUMPY_DTYPES.items()}

#: Where a TensorProto keeps the values of each dtype when it does not keep them as `tensor_content`.
_VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}
_SMALL_INTEGERS_FIELD = "int_val"
#: Dtypes whose field holds another one: the bits of a 16-bit float, and the two parts of a complex number.
_HELD_AS: dict[int, np.dtype[Any]] = {
    types_pb2.DT_HALF: np.dtype(np.uint16),
    types_pb2.DT_BFLOAT16: np.dtype(np.uint16),
    types_pb2.DT_COMPLEX64: np.dtype(np.float32),
    types_pb2.DT_COMPLEX128: np.dtype(np.float64),
}
#: Fields whose numbers have a fixed width: what stands before their bytes in a message (field number, kind "bytes").
_PACKED_TAGS = {
    number: bytes([tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[_VALUE_FIELDS[number]].number << 3 | 2])
    for number in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128)
}
#: Numbers from which on this is the quicker way.
_WORTH_PACKING = 16
#: Small integers travel as 32 bits, and TensorFlow cuts what does not fit: 300 is 44 in a uint8.
_WRAPPED = frozenset({types_pb2.DT_INT8, types_pb2.DT_INT16, types_pb2.DT_UINT8, types_pb2.DT_UINT16})
#: Elements: a request of a few bytes may claim a tensor of any size, filled from one value.
_MOST_FILLED = 2**28
#: numpy and TensorFlow refuse tensors of more dimensions (64 and 254).
_MOST_DIMENSIONS = 64


class UnsupportedTensorError(ValueError):
    """A tensor whose dtype, shape or content cannot be converted; the message names what is wrong."""


def numpy_dtype(number: int) -> np.dtype[Any]:
    """Return numpy's dtype for a TensorProto's `DataType` number (object for strings).

    Raises UnsupportedTensorError for dtypes that predictions do not use (quantised, resources), and for bfloat16 where
    the package ml_dtypes, which comes with TensorFlow, is not installed.
    """
    if number not in _NUMPY_DTYPES:
        raise UnsupportedTensorError(f"dtype {number} is not one that tensors of predictions have")
    return _NUMPY_DTYPES[number]


def proto_dtype(array: Array) -> int:
    """Return the TensorProto `DataType` number for an array; text and byte strings are DT_STRING.

    Raises UnsupportedTensorError for a dtype that has none.
    """
    if array.dtype.kind in "SUO":
        return int(types_pb2.DT_STRING)
    if array.dtype not in _PROTO_DTYPES:
        raise UnsupportedTensorError(f"numpy dtype {array.dtype} has no counterpart among tensors")
    return _PROTO_DTYPES[array.dtype]


def tensor_from_array(array: npt.ArrayLike) -> tensor_pb2.TensorProto:
    """Return the array as a TensorProto with typed values (`float_val` …), as TensorFlow Serving answers."""
    tensor = tensor_pb2.TensorProto()
    fill_tensor(tensor, np.asarray(array))
    return tensor


def fill_tensor(tensor: tensor_pb2.TensorProto, values: Array) -> None:
    """Write an array into an empty TensorProto, as typed values."""
    _fill_shape(tensor, values)
    number = tensor.dtype
    if number == types_pb2.DT_STRING:
        tensor.string_val.extend([_as_bytes(value) for value in values.ravel().tolist()])
        return
    if number in _HELD_AS:
        values = np.ascontiguousarray(values).reshape(-1).view(_HELD_AS[number])
    if number in _PACKED_TAGS and values.size >= _WORTH_PACKING:
        # The wire form of a packed field is the array's own bytes: merged in one step, not number by number.
        content = values.tobytes()
        tensor.MergeFromString(_PACKED_TAGS[number] + _varint(len(content)) + content)
        return
    getattr(tensor, _VALUE_FIELDS.get(number, _SMALL_INTEGERS_FIELD)).extend(values.ravel().tolist())


def _varint(value: int) -> bytes:
    """Return protobuf's form of a length: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def packed_tensor_from_array(array: npt.ArrayLike) -> tensor_pb2.TensorProto:
    """Return the array as a TensorProto with `tensor_content`: the quickest for numbers; strings stay `string_val`."""
    tensor = tensor_pb2.TensorProto()
    fill_packed_tensor(tensor, np.asarray(array))
    return tensor


def fill_packed_tensor(tensor: tensor_pb2.TensorProto, values: Array) -> None:
    """Write an array into an empty TensorProto, numbers as `tensor_content`."""
    if proto_dtype(values) == types_pb2.DT_STRING:
        fill_tensor(tensor, values)
        return
    _fill_shape(tensor, values)
    tensor.tensor_content = values.tobytes()


def array_from_tensor(tensor: tensor_pb2.TensorProto) -> Array:
    """Return a TensorProto's values as an array (strings as an object array of bytes); it may be read-only.

    Fewer values than the shape asks for are continued with the last one, as TensorFlow does; none at all mean zeros.
    Raises UnsupportedTensorError for an unknown dtype, an unknown or negative dimension, or content of a wrong length.
    """
    number = tensor.dtype
    dtype = numpy_dtype(number)
    dims = tensor.tensor_shape
    shape = [dim.size for dim in dims.dim]
    if dims.unknown_rank or len(shape) > _MOST_DIMENSIONS or (shape and min(shape) < 0):
        raise UnsupportedTensorError("the shape of a tensor with values must be fully known")
    count = math.prod(shape)
    content = tensor.tensor_content
    if content and number != types_pb2.DT_STRING:
        if len(content) != count * dtype.itemsize:
            raise UnsupportedTensorError(
                f"tensor_content has {len(content)} bytes where shape {shape} of {dtype} needs {count * dtype.itemsize}"
            )
        return _shaped(np.frombuffer(content, dtype=dtype), shape)
    values = _typed_values(tensor, number, dtype)
    if len(values) != count:
        values = _filled(values, shape, count)
    return values if len(shape) == 1 else _shaped(values, shape)


def _shaped(values: Array, shape: Sequence[int]) -> Array:
    try:
        return values.reshape(shape)
    except ValueError as error:  # nothing in it, and dimensions whose product no number holds
        raise UnsupportedTensorError(f"shape {shape}: {error}") from error


def _typed_values(tensor: tensor_pb2.TensorProto, number: int, dtype: np.dtype[Any]) -> Array:
    values: Sequence[Any] = getattr(tensor, _VALUE_FIELDS.get(number, _SMALL_INTEGERS_FIELD))
    if number in _WRAPPED:
        return np.array(values, dtype=np.int32).astype(dtype)
    held = _HELD_AS.get(number, dtype)
    try:
        # Many numbers are read at once in a tenth of the time of one by one; a few, and strings, are not.
        one_by_one = held.kind == "O" or len(values) < _WORTH_PACKING
        found = np.fromiter(values, dtype=held, count=len(values)) if one_by_one else np.array(values, dtype=held)
    except OverflowError as error:
        raise UnsupportedTensorError(f"a value does not fit {dtype}: {error}") from error
    if held is dtype:
        return found
    parts = dtype.itemsize // held.itemsize
    return found[: len(found) // parts * parts].view(dtype)


def _filled(values: Array, shape: Sequence[int], count: int) -> Array:
    """Return so many values: what is too many is left out, and the last one continues what is too few."""
    if len(values) > count:
        return values[:count]
    if count > _MOST_FILLED:
        raise UnsupportedTensorError(
            f"shape {shape} is too large for a tensor that is filled from {len(values)} values"
        )
    filler = values[-1] if len(values) else (b"" if values.dtype == np.object_ else values.dtype.type(0))
    filled = np.full(count, filler, dtype=values.dtype)
    filled[: len(values)] = values
    return filled


def _fill_shape(tensor: tensor_pb2.TensorProto, values: Array) -> None:
    tensor.dtype = proto_dtype(values)
    # A scalar has a shape too, of no dimensions: it is present and empty.
    shape = tensor.tensor_shape
    shape.SetInParent()
    for size in values.shape:
        shape.dim.add(size=size)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise UnsupportedTensorError(f"a string tensor cannot hold a {type(value).__name__}")
