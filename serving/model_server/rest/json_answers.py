"""Answers as JSON: predictions in row or column form, classes and values, states, signatures, errors."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from roost.adapters.tf_messages import (
    Array,
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    proto_dtype,
    regression_pb2,
    types_pb2,
)
from serving.model_server.rest.decimals import decimal, decimals
from serving.model_server.rest.json_text import INDENT, base64_object, encoded, nested, nested_lines, string
from serving.model_server.rest.json_values import dtype_name
from serving.model_server.statuses import StatusError, invalid_argument

_BYTES_SUFFIX = "_bytes"
_INTEGERS = (types_pb2.DT_INT8, types_pb2.DT_INT16, types_pb2.DT_INT32, types_pb2.DT_INT64, types_pb2.DT_UINT8)
_WIDE = (types_pb2.DT_UINT32, types_pb2.DT_UINT64)


def error_body(error: StatusError) -> bytes:
    """Return `{"error": "…"}`."""
    return _object("error", string(error.raw))


def predictions_body(outputs: Mapping[str, Array]) -> bytes:
    """Return row form: one element per row of the batch, a plain value where there is one output alone.

    Raises INVALID_ARGUMENT for outputs without a batch dimension, of different batch sizes, or of a dtype that JSON
    does not carry.
    """
    size = _batch_size(outputs)
    named = len(outputs) > 1
    columns = {name: _rows(name, array, INDENT * (3 if named else 2)) for name, array in outputs.items()}
    if not size:
        return _object("predictions", "[]")
    if not named:
        (rows,) = columns.values()
        return _object("predictions", f"[{', '.join(rows)}\n{INDENT}]")
    names = [string(name.encode()) for name in columns]
    outer, inner = f"\n{INDENT * 2}", f"\n{INDENT * 3}"
    objects = [
        "{" + inner + f",{inner}".join(f"{name}: {text}" for name, text in zip(names, row, strict=True)) + outer + "}"
        for row in zip(*columns.values(), strict=True)
    ]
    return _object("predictions", f"[{outer}{f',{outer}'.join(objects)}\n{INDENT}]")


def outputs_body(outputs: Mapping[str, Array]) -> bytes:
    """Return column form: each output whole, a plain value where there is one output alone."""
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return _object("outputs", _whole(name, array, INDENT))
    inner = f"\n{INDENT * 2}"
    members = [f"{string(name.encode())}: {_whole(name, array, INDENT * 2)}" for name, array in outputs.items()]
    return _object("outputs", "{" + inner + f",{inner}".join(members) + f"\n{INDENT}}}")


def classifications_body(result: classification_pb2.ClassificationResult) -> bytes:
    """Return a list of `[label, score]` for each example. Raises INVALID_ARGUMENT where there is none."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = [
        f"[{', '.join(f'[{string(one.label.encode())}, {decimal(one.score, single=True)}]' for one in each.classes)}]"
        for each in result.classifications
    ]
    return _object("results", f"[{', '.join(rows)}\n{INDENT}]")


def regressions_body(result: regression_pb2.RegressionResult) -> bytes:
    """Return a value for each example. Raises INVALID_ARGUMENT where there is none."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    return _object("results", f"[{', '.join(decimal(each.value, single=True) for each in result.regressions)}]")


def status_body(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """Return the states of a model's versions."""
    return _message(response).encode()


def metadata_body(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Return a version's signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    text = f'"model_spec":{_message(response.model_spec)},\n"metadata": {{"signature_def": {_message(signatures)}}}\n'
    return f"{{\n{text}}}\n".encode()


def _object(name: str, value: str) -> bytes:
    return encoded(f'{{\n{INDENT}"{name}": {value}\n}}')


def _message(message: Any) -> str:
    """Return a message as protobuf's own printer gives it: a blank a level, and a last newline."""
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


def _batch_size(outputs: Mapping[str, Array]) -> int:
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size not in {-1, array.shape[0]}:
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {size}"
            )
        size = array.shape[0]
    return size


def _rows(name: str, array: Array, indent: str) -> list[str]:
    shape = array.shape[1:]
    texts = _texts(name, array, indent + INDENT * len(shape))
    if not shape:
        return texts
    size = len(texts) // array.shape[0] if array.shape[0] else 0
    return [nested(texts[row * size : (row + 1) * size], shape) for row in range(array.shape[0])]


def _whole(name: str, array: Array, indent: str) -> str:
    return nested_lines(_texts(name, array, indent + INDENT * array.ndim), array.shape, indent)


def _texts(name: str, array: Array, indent: str) -> list[str]:
    """Return each value as JSON text, in order."""
    number = proto_dtype(array)
    flat = array.ravel()
    if number == types_pb2.DT_STRING:
        if name.endswith(_BYTES_SUFFIX):
            return [base64_object(value, indent) for value in flat.tolist()]
        return [string(value) for value in flat.tolist()]
    write = _WRITERS.get(number)
    if write is None:
        raise invalid_argument(f"Failed to write JSON value for tensor type: {dtype_name(number)}")
    return write(flat)


def _integers(values: Array) -> list[str]:
    return list(map(str, values.tolist()))


def _booleans(values: Array) -> list[str]:
    return ["true" if value else "false" for value in values.tolist()]


_WRITERS: dict[int, Callable[[Array], list[str]]] = {
    types_pb2.DT_FLOAT: decimals,
    types_pb2.DT_DOUBLE: decimals,
    types_pb2.DT_HALF: decimals,
    types_pb2.DT_BOOL: _booleans,
    **dict.fromkeys(_INTEGERS + _WIDE, _integers),
}
