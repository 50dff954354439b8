"""The body of a REST predict request: JSON in row form (`instances`) or column form (`inputs`) to named arrays."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from roost.adapters.tf_messages import Array, meta_graph_pb2
from serving.model_server.rest.json_values import array_of, is_base64, leaves_to_array, quoted
from serving.model_server.statuses import StatusError, invalid_argument

Inputs = Mapping[str, meta_graph_pb2.TensorInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictBody:
    """A predict request's tensors; `by_row` says that the answer goes back in row form."""

    signature_name: str
    inputs: dict[str, Array]
    by_row: bool


def parse_json(body: bytes) -> dict[str, Any]:
    """Parse a request's body; NaN and Infinity are numbers here. Raises INVALID_ARGUMENT where it is no JSON object."""
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = _parsed(body)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"JSON Parse error: {_reason(error)}") from error
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {quoted(document)} Is not object")
    return document


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # It knows neither NaN nor integers beyond 64 bits; the standard library does, and it says what is wrong where.
        return json.loads(body)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at offset: {error.pos}"
    return "Nested too deeply" if isinstance(error, RecursionError) else str(error)


def read_predict(document: dict[str, Any], inputs_of: Callable[[str], Inputs]) -> PredictBody:
    """Read a parsed predict request; `inputs_of` gives the inputs of a signature by name (empty: the default one).

    Raises INVALID_ARGUMENT saying which element or key is wrong.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {quoted(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    expected = inputs_of(name)
    if not expected:
        raise invalid_argument(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {quoted(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        return PredictBody(signature_name=name, inputs=_rows(document, expected), by_row=True)
    if "inputs" in document:
        return PredictBody(signature_name=name, inputs=_columns(document["inputs"], expected), by_row=False)
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _columns(value: object, expected: Inputs) -> dict[str, Array]:
    if not isinstance(value, dict) or is_base64(value):
        if len(expected) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        (name,) = expected
        value = {name: value}
    for name in expected:
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: array_of(value[name], info.dtype) for name, info in expected.items()}


def _rows(document: dict[str, Any], expected: Inputs) -> dict[str, Array]:
    instances = document["instances"]
    if not isinstance(instances, list):
        raise invalid_argument(f"JSON Value: {quoted(document)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid_argument(f"JSON Value: {quoted(document)} No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(expected) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if _is_named(instances[0]):
        _check_named(instances, expected)
        return {name: _batch([row[name] for row in instances], name, info.dtype) for name, info in expected.items()}
    for index, row in enumerate(instances):
        if _is_named(row):
            raise invalid_argument(f"Expecting value/list but got object at item {index} of input list")
    (name,) = expected
    return {name: _batch(instances, "", expected[name].dtype)}


def _is_named(row: object) -> bool:
    return isinstance(row, dict) and not is_base64(row)


def _check_named(instances: list[Any], expected: Inputs) -> None:
    for index, row in enumerate(instances):
        if not _is_named(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        if row.keys() == expected.keys():
            continue
        for name in row:
            if name not in expected:
                error = invalid_argument(f"JSON object: does not have named input: {name}")
                raise _element_error(index, name, error)
        raise invalid_argument(
            f"Failed to process element: {index} of 'instances' list. JSON object: {quoted(row)} keys must be equal "
            f"to: {','.join(sorted(expected))}"
        )


def _batch(rows: list[Any], name: str, dtype: int) -> Array:
    """Stack one input's values of all rows: each must be of the first one's shape."""
    if not any(isinstance(row, list) for row in rows):
        try:
            return leaves_to_array(rows, dtype)
        except StatusError:
            pass  # found again below, row by row, so that the message says where
    arrays: list[Array] = []
    for index, row in enumerate(rows):
        try:
            array = array_of(row, dtype)
        except StatusError as error:
            raise _element_error(index, name, error) from error
        if arrays and array.size != arrays[0].size:
            wrong_size = invalid_argument(f"Expecting tensor size: {arrays[0].size} but got: {array.size}")
            raise _element_error(index, name, wrong_size)
        if arrays and array.shape != arrays[0].shape:
            texts = [f"[{','.join(map(str, each.shape))}]" for each in (arrays[0], array)]
            wrong_shape = invalid_argument(f"Expecting shape {texts[0]} but got: {texts[1]}")
            raise _element_error(index, name, wrong_shape)
        arrays.append(array)
    return np.stack(arrays)


def _element_error(index: int, name: str, error: StatusError) -> StatusError:
    key = f" key: {name}" if name else ""
    return invalid_argument(f"Failed to process element: {index}{key} of 'instances' list. Error: {error}")
