"""From what a graph gave to classes and values, checked as TensorFlow Serving's post-processing checks it."""

from collections.abc import Mapping

import numpy as np

from roost.adapters.tf_messages import Array, classification_pb2, proto_dtype, regression_pb2, types_pb2
from serving.model_server.inference.signatures import CLASSES, OUTPUTS, SCORES
from serving.model_server.statuses import StatusError, invalid_argument


def classification_result(outputs: Mapping[str, Array], examples: int) -> classification_pb2.ClassificationResult:
    """Return each example's classes in order: label, score, or both. Raises INVALID_ARGUMENT for other shapes."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    if classes is not None:
        _check_matrix(classes, CLASSES, types_pb2.DT_STRING, examples)
    if scores is not None:
        _check_matrix(scores, SCORES, types_pb2.DT_FLOAT, examples)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    for row in range(examples):
        added = result.classifications.add()
        for column in range(len((numbers or labels or [[]])[row])):
            one = added.classes.add()
            if labels is not None:
                one.label = _text(labels[row][column])
            if numbers is not None:
                one.score = numbers[row][column]
    return result


def regression_result(outputs: Mapping[str, Array], examples: int) -> regression_pb2.RegressionResult:
    """Return one value for each example. Raises INVALID_ARGUMENT for other shapes."""
    values = outputs[OUTPUTS]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape_text(values)}"
        )
    if values.shape[0] != examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {examples} vs. {values.shape[0]}")
    if values.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype_text(values)}")
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _check_matrix(tensor: Array, name: str, dtype: int, examples: int) -> None:
    if tensor.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(tensor)}")
    if proto_dtype(tensor) != dtype:
        expected = types_pb2.DataType.Name(dtype)
        raise invalid_argument(f"Expected {name} Tensor of {expected}. Got: {_dtype_text(tensor)}")
    if tensor.shape[0] != examples:
        raise invalid_argument(f"Expected {name} output batch size of {examples}. Got: {tensor.shape[0]}")


def _shape_text(tensor: Array) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _dtype_text(tensor: Array) -> str:
    return str(types_pb2.DataType.Name(proto_dtype(tensor)))


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise _not_text(label) from error


def _not_text(label: bytes) -> StatusError:
    # The official server puts such bytes into the message all the same, and its clients fail to parse it.
    return invalid_argument(f"A class label is not UTF-8: {label!r}")
