"""Requests that are asked in examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from roost.adapters.tf_messages import (
    classification_pb2,
    example_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
Features = Mapping[str, float | str]


def example(features: Features) -> example_pb2.Example:
    """Numbers as floats, text as bytes."""
    made = example_pb2.Example()
    for name, value in features.items():
        if isinstance(value, str):
            made.features.feature[name].bytes_list.value.append(value.encode())
        else:
            made.features.feature[name].float_list.value.append(value)
    return made


def examples(rows: Sequence[Features], context: Features | None = None) -> input_pb2.Input:
    """A list of examples, with what they have in common."""
    made = [example(row) for row in rows]
    if context is None:
        return input_pb2.Input(example_list={"examples": made})
    return input_pb2.Input(example_list_with_context={"examples": made, "context": example(context)})


def classification(signature: str, given: input_pb2.Input, model: str = "census") -> Any:
    """A ClassificationRequest."""
    return classification_pb2.ClassificationRequest(
        model_spec={"name": model, "signature_name": signature}, input=given
    )


def regression(signature: str, given: input_pb2.Input, model: str = "census") -> Any:
    """A RegressionRequest."""
    return regression_pb2.RegressionRequest(model_spec={"name": model, "signature_name": signature}, input=given)


def inference(given: input_pb2.Input, *tasks: tuple[str, str], models: Sequence[str] = ()) -> Any:
    """A MultiInferenceRequest of (signature, method), on one model unless told otherwise."""
    request = inference_pb2.MultiInferenceRequest(input=given)
    for index, (signature, method) in enumerate(tasks):
        name = models[index] if models else "census"
        request.tasks.add(model_spec={"name": name, "signature_name": signature}, method_name=method)
    return request


def refusal(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    """Code and text of a call that must fail."""
    try:
        answer = call(request, timeout=100)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"was not refused, but answered {answer}")
