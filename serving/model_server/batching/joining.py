"""Requests' tensors put together to one batch, and its outputs taken apart again. Pure.

The rules and the refusals are those of TensorFlow Serving's `batching_session.cc` and `batching_util.cc`.
"""

from collections.abc import Sequence

import numpy as np

from roost.adapters.tf_messages import Array, proto_dtype, types_pb2
from serving.model_server.statuses import Code, StatusError, failed_precondition, invalid_argument

_MOST_PADDED_RANK = 6

#: One request's fed tensors, in the order of the run.
Tensors = Sequence[Array]


def batch_size(tensors: Tensors) -> int:
    """Return the rows of a request: the first dimension that all its tensors share. Raises INVALID_ARGUMENT."""
    if not tensors:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    size = -1
    for tensor in tensors:
        if tensor.ndim == 0:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        if size not in {-1, tensor.shape[0]}:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        size = tensor.shape[0]
    return size


def likeness(tensors: Tensors, *, padded: bool) -> tuple[object, ...]:
    """Return what two requests must share to be answered by one run: dtypes, and the shapes of rows.

    Where rows are padded to the longest, only their number of dimensions.
    """
    return tuple((tensor.dtype, tensor.ndim if padded else tensor.shape[1:]) for tensor in tensors)


def merge(requests: Sequence[Tensors], names: Sequence[str], *, padded: bool, rows: int) -> list[Array]:
    """Return each tensor of all requests as one, with so many rows: the rest repeats the last request's first row.

    Raises FAILED_PRECONDITION for rows of different shapes that are not padded, INVALID_ARGUMENT for what cannot be
    padded, INTERNAL for different dtypes.
    """
    merged = []
    for index, name in enumerate(names):
        parts = [request[index] for request in requests]
        if padded:
            parts = _padded(parts)
        elif any(part.shape[1:] != parts[0].shape[1:] for part in parts):
            raise failed_precondition(
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off."
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name"
                "have equal dimensions starting with the first dim."
            )
        _check_dtypes(parts)
        missing = rows - sum(len(part) for part in parts)
        filled = next((part for part in reversed(parts) if len(part)), None)
        if missing > 0 and filled is not None:
            parts = [*parts, np.repeat(filled[:1], missing, axis=0)]
        merged.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
    return merged


def split(outputs: Sequence[Array], sizes: Sequence[int], rows: int) -> list[list[Array]]:
    """Return each request's share of the outputs, by the sizes of the requests; `rows` counts the padding too.

    Raises FAILED_PRECONDITION for an output that does not have a row for each row fed.
    """
    for output in outputs:
        if output.ndim == 0:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if output.shape[0] != rows:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors"
            )
    ends = np.cumsum(sizes).tolist()
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]


def _check_dtypes(parts: Sequence[Array]) -> None:
    for part in parts:
        if part.dtype != parts[0].dtype:
            first, other = (types_pb2.DataType.Name(proto_dtype(each))[3:].lower() for each in (parts[0], part))
            raise StatusError(
                Code.INTERNAL,
                "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different "
                f"data types. Got {first} and {other}.",
            )


def _padded(parts: Sequence[Array]) -> list[Array]:
    """Return tensors of one rank with equal rows: each shorter one continued with its own first value."""
    ranks = {part.ndim for part in parts}
    if not ranks <= set(range(1, _MOST_PADDED_RANK + 1)):
        raise invalid_argument("Only tensors with rank from 1 to 6 can be padded.")
    if len(ranks) > 1:
        raise invalid_argument("Tensors of different rank cannot be padded to each other.")
    longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    return [_padded_to(part, longest) for part in parts]


def _padded_to(part: Array, longest: Sequence[int]) -> Array:
    missing = [(0, 0), *((0, size - own) for size, own in zip(longest, part.shape[1:], strict=True))]
    if not any(after for _, after in missing):
        return part
    if not part.size:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    whole = np.full([len(part), *longest], part.ravel()[0], dtype=part.dtype)
    whole[tuple(slice(0, size) for size in part.shape)] = part
    return whole
