"""A model's outputs as predictions: one a row, plain values, with the declared labels. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from roost.contracts.manifest import OutputSpec
from roost.ports.serving import Tensors
from serving.node.app.findings import Findings
from serving.node.app.forms import Prediction, ProblemKind
from serving.node.app.values import Array

#: Where two labels are declared without a threshold.
_EVEN: Final = 0.5


class NotPerRow(Exception):
    """The model did not answer row by row. The text says which output."""


def predictions(declared: Sequence[OutputSpec], outputs: Tensors, rows: int) -> tuple[list[Prediction], Findings]:
    """The answer to each of `rows` rows, and a warning for each value that is no number.

    Raises:
        NotPerRow: an output does not have one entry a row.
    """
    specs = {spec.name: spec for spec in declared}
    warnings = Findings()
    by_name: dict[str, list[Any]] = {}
    labels: dict[str, list[str | None]] = {}
    for name in sorted(outputs):
        found = np.asarray(outputs[name])
        if found.ndim == 0 or len(found) != rows:
            raise NotPerRow(f"output {name} has shape {list(found.shape)} for {rows} rows")
        exact = _shortest(found)
        by_name[name] = _plain(name, exact, warnings)
        spec = specs.get(name)
        if spec is not None and spec.labels:
            labels[name] = _labels(spec, exact)
    # Without a check of each: it is ours, and with many rows checks would be most of the work.
    made = [
        Prediction.model_construct(
            outputs={name: column[row] for name, column in by_name.items()},
            labels={name: column[row] for name, column in labels.items()},
        )
        for row in range(rows)
    ]
    return made, warnings


def _shortest(found: Array) -> Array:
    """Floats as the doubles of their shortest digits: 0.7 is then what people call 0.7, and what a threshold says."""
    return found.astype(str).astype(float) if found.dtype.kind == "f" and found.dtype != np.float64 else found


def _plain(name: str, found: Array, warnings: Findings) -> list[Any]:
    if found.dtype.kind == "O":
        return [_texts(value) for value in found.tolist()]
    finite = np.isfinite(found)
    if finite.all():
        return list(found.tolist())
    for row in np.flatnonzero(~finite.reshape(len(found), -1).all(axis=1)):
        warnings.add(int(row), name, ProblemKind.OUTPUT, "is not a finite number in the model's answer")
    holed = found.astype(object)
    holed[~finite] = None
    return list(holed.tolist())


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _labels(spec: OutputSpec, found: Array) -> list[str | None]:
    scores = found.reshape(len(found), -1)
    if scores.dtype.kind not in "fiu":
        return [None] * len(found)
    if len(spec.labels) == 2 and scores.shape[1] == 1:
        threshold = _EVEN if spec.threshold is None else spec.threshold
        return [_of_two(spec, float(score), threshold) for score in scores[:, 0]]
    if scores.shape[1] == len(spec.labels):
        return [_of_many(spec, row) for row in scores]
    return [None] * len(found)


def _of_two(spec: OutputSpec, score: float, threshold: float) -> str | None:
    return None if np.isnan(score) else spec.labels[int(score >= threshold)]


def _of_many(spec: OutputSpec, scores: Array) -> str | None:
    if not np.isfinite(scores).all():
        return None
    best = int(np.argmax(scores))
    certain = spec.threshold is None or float(scores[best]) >= spec.threshold
    return spec.labels[best] if certain else None
