"""The gateway's copies of requests, read: TensorFlow Serving's REST and gRPC forms as tensors of declared inputs. Pure.

Only what the model would take is read: a request with a field too many may carry anything, and asks the canary nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core
from google.protobuf.message import DecodeError

from roost.adapters.tf_messages import array_from_tensor, predict_pb2, types_pb2
from roost.contracts.manifest import InputSpec
from roost.ports.serving import Tensors
from serving.node.app.checking import SIGNATURE, RowChecker

#: As the gateway has rewritten it: what follows `stable`.
_REST_PATH: Final = re.compile(r"/v1/models/(?P<name>[a-z0-9.-]+)(?:/labels/stable)?:predict")
GRPC_PATH: Final = "/tensorflow.serving.PredictionService/Predict"
_FRAME: Final = 5


class Unreadable(Exception):
    """The copy is no prediction that the model would take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy as it came."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Whose it is, and what is in it."""

    name: str
    content: Any


def opened(copy: Copy) -> Opened:
    """Whose request it is.

    Raises:
        Unreadable: it is not a prediction by ``stable`` and ``serving_default``.
    """
    return _opened_message(copy.body) if copy.path == GRPC_PATH else _opened_json(copy)


def tensors(found: Opened, checker: RowChecker) -> Tensors:
    """Its inputs.

    Raises:
        Unreadable: they are not what the model takes.
    """
    if isinstance(found.content, dict):
        checked = checker.check(_rows(found.content, checker.specs))
        if checked.problems:
            raise Unreadable
        return checked.inputs
    return _of_message(found.content, checker.specs)


def _opened_message(body: bytes) -> Opened:
    if len(body) < _FRAME or body[0] != 0 or int.from_bytes(body[1:_FRAME], "big") != len(body) - _FRAME:
        raise Unreadable
    try:
        request = predict_pb2.PredictRequest.FromString(body[_FRAME:])
    except DecodeError as error:
        raise Unreadable from error
    spec = request.model_spec
    if spec.WhichOneof("version_choice") == "version" or spec.version_label not in {"", "stable"}:
        raise Unreadable
    if spec.signature_name not in {"", SIGNATURE}:
        raise Unreadable
    return Opened(name=spec.name, content=request)


def _opened_json(copy: Copy) -> Opened:
    match = _REST_PATH.fullmatch(copy.path)
    try:
        document = pydantic_core.from_json(copy.body)
    except ValueError as error:
        raise Unreadable from error
    if match is None or not isinstance(document, dict):
        raise Unreadable
    if document.get("signature_name", SIGNATURE) != SIGNATURE or len({"instances", "inputs"} & set(document)) != 1:
        raise Unreadable
    return Opened(name=match["name"], content=document)


def _rows(document: dict[str, Any], specs: Sequence[InputSpec]) -> list[Any]:
    only = specs[0].name if len(specs) == 1 else None
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list) or not rows:
            raise Unreadable
        # With one input its name may be left out, and {"b64": …} is then a value.
        bare = only is not None and not all(isinstance(row, dict) and set(row) != {"b64"} for row in rows)
        return [{only: row} for row in rows] if bare else rows
    columns = document["inputs"]
    if only is not None and not (isinstance(columns, dict) and set(columns) == {only}):
        columns = {only: columns}
    if not isinstance(columns, dict) or not all(isinstance(column, list) and column for column in columns.values()):
        raise Unreadable
    if len({len(column) for column in columns.values()}) != 1:
        raise Unreadable
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _of_message(request: Any, specs: Sequence[InputSpec]) -> Tensors:
    if set(request.inputs) != {spec.name for spec in specs}:
        raise Unreadable
    found = {}
    for spec in specs:
        tensor = request.inputs[spec.name]
        # A few bytes may name a tensor of any size: only as many values are read as the message can hold.
        if math.prod(max(dim.size, 0) for dim in tensor.tensor_shape.dim) > tensor.ByteSize():
            raise Unreadable
        try:
            named = types_pb2.DataType.Name(tensor.dtype)
            values = array_from_tensor(tensor)
        except ValueError as error:
            raise Unreadable from error
        if named != spec.dtype:
            raise Unreadable
        if spec.shape is not None and not _fits(values.shape, spec.shape):
            raise Unreadable
        found[spec.name] = values
    if len({len(values) if values.ndim else -1 for values in found.values()}) != 1:
        raise Unreadable
    return found


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    return len(shape) == len(declared) and all(
        wanted in {-1, size} for size, wanted in zip(shape, declared, strict=True)
    )
