"""The body of a REST classify or regress request: JSON objects to examples, each value of the kind it is written as."""

from typing import Any

import numpy as np

from roost.adapters.tf_messages import example_pb2, input_pb2
from serving.model_server.rest.json_text import raw, value_text
from serving.model_server.rest.json_values import decoded_base64, is_base64, lossy, type_name
from serving.model_server.statuses import StatusError, invalid_argument

_EXAMPLES, _CONTEXT = "examples", "context"
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64", None: "UNKNOWN"}
_FLOAT = np.dtype(np.float32)


def read_examples(document: dict[str, Any]) -> tuple[str, input_pb2.Input]:
    """Return the signature's name (empty: the default one) and the examples, with their common context if there is one.

    Raises INVALID_ARGUMENT saying which key or value is wrong.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _wrong(document, "not formatted correctly. 'signature_name' key must be a string value.")
    given = input_pb2.Input()
    if _CONTEXT in document:
        _fill(given.example_list_with_context.context, document[_CONTEXT])
    if _EXAMPLES not in document:
        raise _wrong(document, f"When method is classify, key '{_EXAMPLES}' is expected and was not found")
    rows = document[_EXAMPLES]
    if not isinstance(rows, list):
        raise _wrong(document, f"Expecting '{_EXAMPLES}' value to be an list/array")
    if not rows:
        raise _wrong(document, f"'{_EXAMPLES}' value is an empty array")
    into = given.example_list_with_context if _CONTEXT in document else given.example_list
    for row in rows:
        _fill(into.examples.add(), row)
    return name, given


def _wrong(document: dict[str, Any], what: str) -> StatusError:
    return invalid_argument(f"JSON Value: {value_text(document)} {what}")


def _fill(example: example_pb2.Example, row: object) -> None:
    """Write a JSON object into an example, a feature for each member."""
    example.SetInParent()
    if not isinstance(row, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(row)}")
    for name, content in row.items():
        feature = example.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            _add(feature, name, value)


def _add(feature: Any, name: str, value: Any) -> None:
    if isinstance(value, bool):
        _values(feature, name, "int64_list").append(int(value))
    elif isinstance(value, str):
        _values(feature, name, "bytes_list").append(raw(value))
    elif isinstance(value, dict) and is_base64(value):
        _values(feature, name, "bytes_list").append(decoded_base64(value))
    elif isinstance(value, float):
        values = _values(feature, name, "float_list")
        if lossy(value, _FLOAT):
            raise invalid_argument(
                f"Cannot convert JSON value: {value_text(value)} to float without loss of precision."
            )
        values.append(value)
    elif isinstance(value, int):
        values = _values(feature, name, "int64_list")
        if value >= 2**63:
            raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
        values.append(value)
    else:
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _values(feature: Any, name: str, kind: str) -> Any:
    """Return the feature's list of a kind; its first value decides which kind it is."""
    found = feature.WhichOneof("kind")
    if found not in {None, kind}:
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_KINDS[found]}")
    return getattr(feature, kind).value
