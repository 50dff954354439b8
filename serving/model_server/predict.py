"""Predict: from a request's tensors to a response's, on one version."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from roost.adapters.tf_messages import (
    Array,
    UnsupportedTensorError,
    array_from_tensor,
    fill_tensor,
    meta_graph_pb2,
    predict_pb2,
    tensor_pb2,
)
from serving.model_server.servable import Servable, Signature
from serving.model_server.statuses import Code, StatusError, invalid_argument
from serving.model_server.terms import Terms

#: Writes an array into an empty TensorProto.
Fill = Callable[[tensor_pb2.TensorProto, Array], None]

_PREDICT = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def predict(
    servable: Servable, request: predict_pb2.PredictRequest, terms: Terms, fill: Fill = fill_tensor
) -> predict_pb2.PredictResponse:
    """Answer a request.

    Raises FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs or outputs that it has not, or a
    tensor that cannot be read, and whatever the graph itself ends with.
    """
    signature = servable.signature(request.model_spec.signature_name)
    check_method_name(servable, signature)
    inputs = read_inputs(signature, request.inputs)
    outputs = _outputs(signature, request.output_filter)
    started = time.perf_counter()
    answers = signature.run(inputs, outputs, terms.timeout)
    terms.on_run(time.perf_counter() - started)
    response = predict_pb2.PredictResponse()
    spec = response.model_spec
    spec.name = request.model_spec.name
    spec.signature_name = signature.name
    spec.version.value = servable.version
    for alias, value in answers.items():
        fill(response.outputs[alias], value)
    return response


def check_method_name(servable: Servable, signature: Signature) -> None:
    """Raise INTERNAL where names are checked and this signature's is none that Predict answers, as officially."""
    if servable.checks_method_names and signature.definition.method_name not in _PREDICT:
        raise StatusError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_PREDICT)}}}. "
            f"Was: {signature.definition.method_name}",
        )


def read_inputs(signature: Signature, tensors: Any) -> list[Array]:
    """Return the request's tensors in the order of the signature's inputs; those left out take their defaults."""
    defaults = signature.definition.defaults
    if len(tensors) > len(signature.inputs) or (len(tensors) < len(signature.inputs) and not defaults):
        raise size_error(set(tensors), set(signature.inputs))
    values = []
    for alias, info in signature.inputs.items():
        if alias in tensors:
            values.append(_array(tensors[alias], alias))
        elif alias in defaults:
            values.append(_array(defaults[alias], alias))
        else:
            raise invalid_argument(_missing_text(alias, info, tensors, defaults))
    used = [alias for alias in tensors if alias in signature.inputs]
    if len(used) != len(tensors):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_joined(used)}, request input: {_joined(tensors)}"
        )
    return values


def _array(tensor: tensor_pb2.TensorProto, alias: str) -> Array:
    try:
        return array_from_tensor(tensor)
    except UnsupportedTensorError as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def size_error(sent: set[str], expected: set[str]) -> StatusError:
    """Return INVALID_ARGUMENT for a request that has not as many inputs as the signature."""
    return invalid_argument(
        f"input size does not match signature: {len(sent)}!={len(expected)} len({{{_joined(sent)}}}) != "
        f"len({{{_joined(expected)}}}). Sent extra: {{{_joined(sent - expected)}}}. "
        f"Missing but required: {{{_joined(expected - sent)}}}."
    )


def _missing_text(alias: str, info: meta_graph_pb2.TensorInfo, sent: Iterable[str], defaults: Iterable[str]) -> str:
    return (
        f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value provided. "
        f"Inputs expected to be in the request {{{_joined(sent)}}}, or default input alias set: {_joined(defaults)}"
    )


def _outputs(signature: Signature, output_filter: Iterable[str]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen[alias] = None
    return tuple(seen)
