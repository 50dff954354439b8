"""The body of a REST predict request: JSON in row form (`instances`) or column form (`inputs`) to named arrays."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from roost.adapters.tf_messages import Array, meta_graph_pb2
from serving.model_server.rest.json_text import value_text
from serving.model_server.rest.json_values import array_of, is_base64, leaves_to_array
from serving.model_server.statuses import StatusError, invalid_argument

Inputs = Mapping[str, meta_graph_pb2.TensorInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictBody:
    """A predict request's tensors; `by_row` says that the answer goes back in row form."""

    signature_name: str
    inputs: dict[str, Array]
    by_row: bool


def read_predict(document: dict[str, Any], inputs_of: Callable[[str], Inputs]) -> PredictBody:
    """Read a parsed predict request; `inputs_of` gives the inputs of a signature by name (empty: the default one).

    Raises INVALID_ARGUMENT saying which element or key is wrong.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {value_text(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    expected = inputs_of(name)
    if not expected:
        raise invalid_argument(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {value_text(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
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
        raise invalid_argument(f"JSON Value: {value_text(document)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid_argument(f"JSON Value: {value_text(document)} No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(expected) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    try:
        return _stacked(instances, expected)
    except StatusError:
        _find_fault(instances, expected)
        raise


def _is_named(row: object) -> bool:
    return isinstance(row, dict) and not is_base64(row)


def _stacked(instances: list[Any], expected: Inputs) -> dict[str, Array]:
    """Stack each input's values of all rows. Raises StatusError where one does not fit, not always the first one."""
    named = _is_named(instances[0])
    names = expected.keys()
    if any(_is_named(row) != named or (named and row.keys() != names) for row in instances):
        raise invalid_argument("rows of different kinds")
    if named:
        return {name: _batch([row[name] for row in instances], info.dtype) for name, info in expected.items()}
    # Of several inputs a plain list gives the first, as officially; the others are then found missing.
    name = next(iter(expected))
    return {name: _batch(instances, expected[name].dtype)}


def _batch(rows: list[Any], dtype: int) -> Array:
    """Stack one input's values: each must be of the first one's shape."""
    if not any(isinstance(row, list) for row in rows):
        return leaves_to_array(rows, dtype)
    return array_of(rows, dtype)


def _find_fault(instances: list[Any], expected: Inputs) -> None:
    """Go through the rows as the official server does, and raise INVALID_ARGUMENT for the first fault it would meet."""
    named = _is_named(instances[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for index, row in enumerate(instances):
        if not named:
            if _is_named(row):
                raise invalid_argument(f"Expecting value/list but got object at item {index} of input list")
            _check_value(next(iter(expected)), row, expected, shapes, f"element: {index}")
            continue
        if not _is_named(row):
            raise invalid_argument(f"Expecting object but got list at item {index} of input list")
        for name, value in row.items():
            _check_value(name, value, expected, shapes, f"element: {index} key: {name}")
        if row.keys() != expected.keys():
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. JSON object: {value_text(row)} keys must be "
                f"equal to: {','.join(sorted(expected))}"
            )


def _check_value(name: str, value: object, expected: Inputs, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    try:
        if name not in expected:
            raise invalid_argument(f"JSON object: does not have named input: {name}")
        array = array_of(value, expected[name].dtype)
        shape = shapes.setdefault(name, array.shape)
        size = math.prod(shape)
        if array.size != size:
            raise invalid_argument(f"Expecting tensor size: {size} but got: {array.size}")
        if array.shape != shape:
            texts = [f"[{','.join(map(str, each))}]" for each in (shape, array.shape)]
            raise invalid_argument(f"Expecting shape {texts[0]} but got: {texts[1]}")
    except StatusError as error:
        raise invalid_argument(f"Failed to process {where} of 'instances' list. Error: {error}") from error
