"""The messages of TensorFlow and TensorFlow Serving, without TensorFlow itself.

The generated modules import `tensorflow.core.…`, and Python runs a package's parent first: `import tensorflow` costs
several seconds and some 500 MB. This module registers a bare parent named `tensorflow` that only knows where its
children lie, so that gRPC stubs and SavedModel protos cost a few hundred milliseconds and some 40 MB.

Take the messages from here rather than from `tensorflow_serving`, so that the order of imports cannot matter. Where the
real TensorFlow is already imported, nothing is registered; where something asks the bare parent for TensorFlow's own
API after all, the real one is imported then, and answers.

The tensor conversions need numpy only.
"""

import importlib
import importlib.util
import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt


class _BareParent(ModuleType):
    """Stands for the package `tensorflow` until somebody wants more of it than its messages."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name != "__version__":  # the import system and debuggers ask modules for these
            raise AttributeError(name)
        if sys.modules.get("tensorflow") is self:
            del sys.modules["tensorflow"]
        return getattr(importlib.import_module("tensorflow"), name)


def _register_bare_parent() -> None:
    if "tensorflow" in sys.modules:
        return
    found = importlib.util.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(
            "the package tensorflow (its generated messages are used) is not installed: pip install 'roost[serving]'",
            name="tensorflow",
        )
    parent = _BareParent("tensorflow", __doc__)
    parent.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = parent


_register_bare_parent()

from tensorflow.core.example import example_pb2  # noqa: E402  (the parent must be registered first, here and below)
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2  # noqa: E402
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

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
    types_pb2.DT_BOOL: np.dtype(np.bool_),
    types_pb2.DT_STRING: np.dtype(np.object_),
}
_PROTO_DTYPES = {dtype: number for number, dtype in _NUMPY_DTYPES.items()}

#: Where a TensorProto keeps the values of each dtype when it does not keep them as `tensor_content`.
_VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}
_SMALL_INTEGERS_FIELD = "int_val"


class UnsupportedTensorError(ValueError):
    """A tensor whose dtype, shape or content cannot be converted; the message names what is wrong."""


def numpy_dtype(number: int) -> np.dtype[Any]:
    """Return numpy's dtype for a TensorProto's `DataType` number (object for strings).

    Raises UnsupportedTensorError for dtypes that predictions do not use (complex, quantised, resources).
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
    values = np.asarray(array)
    tensor = _shaped(values)
    field = _VALUE_FIELDS.get(tensor.dtype, _SMALL_INTEGERS_FIELD)
    if tensor.dtype == types_pb2.DT_HALF:
        values = np.ascontiguousarray(values).view(np.uint16)
    flat = values.ravel().tolist()
    if tensor.dtype == types_pb2.DT_STRING:
        flat = [_as_bytes(value) for value in flat]
    getattr(tensor, field).extend(flat)
    return tensor


def packed_tensor_from_array(array: npt.ArrayLike) -> tensor_pb2.TensorProto:
    """Return the array as a TensorProto with `tensor_content`: the quickest for numbers; strings stay `string_val`."""
    values = np.asarray(array)
    if proto_dtype(values) == types_pb2.DT_STRING:
        return tensor_from_array(values)
    tensor = _shaped(values)
    tensor.tensor_content = values.tobytes()
    return tensor


def array_from_tensor(tensor: tensor_pb2.TensorProto) -> Array:
    """Return a TensorProto's values as an array (strings as an object array of bytes); it may be read-only.

    Fewer values than the shape asks for are continued with the last one, as TensorFlow does; none at all mean zeros.
    Raises UnsupportedTensorError for an unknown dtype, an unknown or negative dimension, or content of a wrong length.
    """
    dtype = numpy_dtype(tensor.dtype)
    if tensor.tensor_shape.unknown_rank or any(dim.size < 0 for dim in tensor.tensor_shape.dim):
        raise UnsupportedTensorError("the shape of a tensor with values must be fully known")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    count = math.prod(shape)
    if tensor.tensor_content and tensor.dtype != types_pb2.DT_STRING:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise UnsupportedTensorError(
                f"tensor_content has {len(tensor.tensor_content)} bytes where shape {shape} of {dtype} needs "
                f"{count * dtype.itemsize}"
            )
        return np.frombuffer(tensor.tensor_content, dtype=dtype).reshape(shape)
    return _filled(_typed_values(tensor, dtype), shape, count)


def _typed_values(tensor: tensor_pb2.TensorProto, dtype: np.dtype[Any]) -> Array:
    values: Sequence[Any] = getattr(tensor, _VALUE_FIELDS.get(tensor.dtype, _SMALL_INTEGERS_FIELD))
    if tensor.dtype == types_pb2.DT_HALF:
        return np.fromiter(values, dtype=np.uint16, count=len(values)).view(np.float16)
    try:
        return np.fromiter(values, dtype=dtype, count=len(values))
    except OverflowError as error:
        raise UnsupportedTensorError(f"a value does not fit {dtype}: {error}") from error


def _filled(values: Array, shape: Sequence[int], count: int) -> Array:
    if len(values) == count:
        return values.reshape(shape)
    if len(values) > count:
        return values[:count].reshape(shape)
    filler = values[-1] if len(values) else (b"" if values.dtype == np.object_ else values.dtype.type(0))
    filled = np.full(count, filler, dtype=values.dtype)
    filled[: len(values)] = values
    return filled.reshape(shape)


def _shaped(values: Array) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=proto_dtype(values))
    # A scalar has a shape too, of no dimensions: it is present and empty.
    tensor.tensor_shape.SetInParent()
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise UnsupportedTensorError(f"a string tensor cannot hold a {type(value).__name__}")


__all__ = [
    "Array",
    "UnsupportedTensorError",
    "array_from_tensor",
    "example_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "numpy_dtype",
    "packed_tensor_from_array",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2_grpc",
    "proto_dtype",
    "saved_model_pb2",
    "tensor_from_array",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
