"""Answers as JSON: predictions in row or column form, states, signatures, errors."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from google.protobuf import json_format

from roost.adapters.tf_messages import Array, get_model_metadata_pb2, get_model_status_pb2
from serving.model_server.metadata import SIGNATURE_DEF
from serving.model_server.statuses import StatusError, invalid_argument

_BYTES_SUFFIX = "_bytes"


def error_body(error: StatusError) -> bytes:
    """Return `{"error": "…"}`."""
    return orjson.dumps({"error": error.message.encode("utf-8", "replace").decode()}, option=orjson.OPT_INDENT_2)


def predictions_body(outputs: Mapping[str, Array]) -> bytes:
    """Return row form: one element per row of the batch, a plain value where there is one output alone.

    Raises INVALID_ARGUMENT for outputs without a batch dimension, or of different batch sizes.
    """
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size not in (-1, array.shape[0]):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {size}"
            )
        size = array.shape[0]
    values = {name: _encodable(name, array) for name, array in outputs.items()}
    if len(values) == 1:
        return _dumped({"predictions": next(iter(values.values()))}, outputs)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return _dumped({"predictions": rows}, outputs)


def outputs_body(outputs: Mapping[str, Array]) -> bytes:
    """Return column form: each output whole, a plain value where there is one output alone."""
    values = {name: _encodable(name, array) for name, array in outputs.items()}
    return _dumped({"outputs": next(iter(values.values())) if len(values) == 1 else values}, outputs)


def status_body(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """Return the states of a model's versions."""
    return orjson.dumps(_message(response), option=orjson.OPT_INDENT_2)


def metadata_body(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Return a version's signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    document = {"model_spec": _message(response.model_spec), "metadata": {SIGNATURE_DEF: _message(signatures)}}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _message(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _encodable(name: str, array: Array) -> Any:
    if array.dtype != np.object_:
        return np.ascontiguousarray(array) if array.ndim else array[()]
    as_bytes = name.endswith(_BYTES_SUFFIX)
    texts = np.empty(array.shape, dtype=np.object_)
    for index, value in np.ndenumerate(array):
        texts[index] = {"b64": base64.b64encode(value).decode()} if as_bytes else value.decode("utf-8", "replace")
    return texts.tolist()


def _dumped(document: dict[str, Any], outputs: Mapping[str, Array]) -> bytes:
    if all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in outputs.values()):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    # What is not finite is written as NaN, Infinity and -Infinity, as the official server does: not JSON, but expected.
    return json.dumps(document, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    """Numbers of a narrow float type in their own shortest form: 0.2, not 0.20000000298023224."""
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        shortest = [float(text) for text in value.ravel().astype(str)]
        return np.array(shortest, dtype=np.float64).reshape(value.shape).tolist()
    return value.tolist()
