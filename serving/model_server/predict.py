"""Predict: from a request's tensors to a response's, on one version."""

import time
from collections.abc import Callable
from typing import Any

from roost.adapters.tf_messages import (
    Array,
    UnsupportedTensorError,
    array_from_tensor,
    predict_pb2,
    tensor_from_array,
    tensor_pb2,
)
from serving.model_server.servable import Servable, Signature
from serving.model_server.statuses import invalid_argument

Serialize = Callable[[Array], tensor_pb2.TensorProto]


def predict(
    servable: Servable,
    request: predict_pb2.PredictRequest,
    serialize: Serialize = tensor_from_array,
    on_run: Callable[[float], None] | None = None,
) -> predict_pb2.PredictResponse:
    """Answer a request; `on_run` is told the seconds that the graph itself took.

    Raises FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs or outputs that it has not, or a
    tensor that cannot be read, and whatever the graph itself ends with.
    """
    signature = servable.signature(request.model_spec.signature_name)
    inputs = _inputs(signature, request.inputs)
    outputs = _outputs(signature, request)
    started = time.perf_counter()
    answers = signature.run(inputs, outputs)
    if on_run is not None:
        on_run(time.perf_counter() - started)
    response = predict_pb2.PredictResponse()
    spec = response.model_spec
    spec.name = request.model_spec.name
    spec.signature_name = signature.name
    spec.version.value = servable.version
    for alias, value in answers.items():
        response.outputs[alias].CopyFrom(serialize(value))
    return response


def _inputs(signature: Signature, tensors: Any) -> list[Array]:
    """The request's tensors in the order of the signature's inputs; those left out take their defaults."""
    expected = signature.inputs
    defaults = signature.definition.defaults
    if len(tensors) > len(expected) or (len(tensors) < len(expected) and not defaults):
        raise invalid_argument(_size_text(set(tensors), set(expected)))
    for alias in tensors:
        if alias not in expected:
            raise invalid_argument(
                f"input tensor alias not found in signature: {alias}. "
                f"Inputs expected to be in the set {{{','.join(expected)}}}."
            )
    values = []
    for alias in expected:
        if alias not in tensors and alias not in defaults:
            raise invalid_argument(_size_text(set(tensors), set(expected)))
        tensor = tensors[alias] if alias in tensors else defaults[alias]
        try:
            values.append(array_from_tensor(tensor))
        except UnsupportedTensorError as error:
            raise invalid_argument(f"tensor parsing error: {alias}") from error
    return values


def _size_text(sent: set[str], expected: set[str]) -> str:
    def joined(names: set[str]) -> str:
        return ",".join(sorted(names))

    return (
        f"input size does not match signature: {len(sent)}!={len(expected)} len({{{joined(sent)}}}) != "
        f"len({{{joined(expected)}}}). Sent extra: {{{joined(sent - expected)}}}. "
        f"Missing but required: {{{joined(expected - sent)}}}."
    )


def _outputs(signature: Signature, request: predict_pb2.PredictRequest) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen[alias] = None
    return tuple(seen)
