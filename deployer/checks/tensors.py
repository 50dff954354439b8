"""Recorded JSON to tensors, by the manifest's signature."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roost.contracts.manifest import GoldenCase, HoldoutRow, SignatureSpec, TensorSpec
from roost.ports.serving import Tensors

Array = NDArray[np.generic]

_DTYPES: Final[Mapping[str, np.dtype[np.generic]]] = {
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_HALF": np.dtype(np.float16),
    "DT_INT8": np.dtype(np.int8),
    "DT_INT16": np.dtype(np.int16),
    "DT_INT32": np.dtype(np.int32),
    "DT_INT64": np.dtype(np.int64),
    "DT_UINT8": np.dtype(np.uint8),
    "DT_UINT16": np.dtype(np.uint16),
    "DT_UINT32": np.dtype(np.uint32),
    "DT_UINT64": np.dtype(np.uint64),
    "DT_BOOL": np.dtype(np.bool_),
    "DT_STRING": np.dtype(np.object_),
}


class CannotAsk(ValueError):
    """A recorded request does not fit the signature; the text names the input."""


def dtype_of(name: str) -> np.dtype[np.generic]:
    """Type in numpy for TensorFlow's name of it. Raises `CannotAsk` for one that predictions do not use."""
    if name not in _DTYPES:
        raise CannotAsk(f"type {name} is not one that predictions use")
    return _DTYPES[name]


def golden_inputs(case: GoldenCase, signature: SignatureSpec) -> Tensors:
    """Tensors of one recorded request. Raises `CannotAsk`."""
    return {spec.name: _array(spec, case.inputs.get(spec.name)) for spec in signature.inputs}


def holdout_inputs(rows: Sequence[HoldoutRow], signature: SignatureSpec) -> Tensors:
    """Tensors of labelled rows, one batch. Raises `CannotAsk`."""
    tensors: dict[str, Array] = {}
    for spec in signature.inputs:
        missing = any(spec.name not in row.inputs for row in rows)
        column = None if missing else _array(spec, [row.inputs[spec.name] for row in rows])
        if column is None:
            raise CannotAsk(f"input {spec.name!r} is missing from the holdout rows")
        tensors[spec.name] = _shaped(column, spec)
    return tensors


def rows_of(tensors: Tensors) -> list[bytes]:
    """Each row of a batch as comparable bytes."""
    columns = [np.asarray(tensors[name]) for name in sorted(tensors)]
    count = min((len(column) if column.ndim else 0 for column in columns), default=0)
    return [repr([np.asarray(column[row]).tolist() for column in columns]).encode() for row in range(count)]


def numbers(value: object) -> NDArray[np.float64]:
    """Recorded numbers as float64; a null stands for NaN. Raises `CannotAsk` where they are none."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CannotAsk(f"recorded values are not numbers: {error}") from error


def texts(value: object) -> list[bytes]:
    """Recorded strings as bytes, flat."""
    return [_as_bytes(item) for item in np.asarray(value, dtype=np.object_).ravel()]


def _array(spec: TensorSpec, value: object) -> Array:
    if value is None:
        raise CannotAsk(f"input {spec.name!r} is missing from the recorded request")
    dtype = dtype_of(spec.dtype)
    try:
        if dtype == np.object_:
            return _string_array(value)
        return np.asarray(value, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise CannotAsk(f"input {spec.name!r} cannot be read as {spec.dtype}: {error}") from error


def _string_array(value: object) -> Array:
    found = np.asarray(value, dtype=np.object_)
    flat = [_as_bytes(item) for item in found.ravel()]
    filled = np.empty(len(flat), dtype=np.object_)
    filled[:] = flat
    return filled.reshape(found.shape)


def _as_bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, dict) and isinstance(item.get("b64"), str):
        try:
            return base64.b64decode(item["b64"], validate=True)
        except binascii.Error as error:
            raise CannotAsk(f"not base64: {error}") from error
    raise CannotAsk(f"a string is wanted, not {item!r}")


def _shaped(column: Array, spec: TensorSpec) -> Array:
    inner = () if spec.shape is None else spec.shape[1:]
    if spec.shape is None or column.shape[1:] == inner or any(size < 0 for size in inner):
        return column
    try:
        return column.reshape(len(column), *inner)
    except ValueError as error:
        raise CannotAsk(f"input {spec.name!r} does not have shape {list(spec.shape)}: {error}") from error
