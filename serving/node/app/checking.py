"""Rows of named features against what a manifest declares. Pure.

Declared inputs are checked by name, type, shape, NaN, range and category; an artifact that declares none is checked by
the names, types and shapes of its signature. Whole columns are looked at first: only where one has something unusual
are its values looked at one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from roost.contracts.manifest import ArtifactManifest, InputSpec
from roost.ports.serving import Tensors
from serving.node.app import values
from serving.node.app.findings import Findings
from serving.node.app.forms import ProblemKind
from serving.node.app.values import Array, Unfit

SIGNATURE: Final = "serving_default"

#: Position in the request, and the row.
_Row = tuple[int, dict[str, Any]]


class TakesNoRows(Exception):
    """The model cannot be asked by rows. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The rows as tensors, and what was found. With problems the tensors are incomplete."""

    inputs: Tensors
    problems: Findings
    warnings: Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """Values of one input, and the positions in the request of the rows that they are of."""

    values: Array
    rows: Sequence[int]


class RowChecker:
    """Checks rows for one version of one model."""

    def __init__(self, specs: Sequence[InputSpec]) -> None:
        """`specs` as `declared` gives them."""
        self.specs = tuple(specs)
        self._names = frozenset(spec.name for spec in self.specs)
        self._categories = {spec.name: frozenset(text.encode() for text in spec.categories) for spec in self.specs}

    def check(self, rows: Sequence[object]) -> Checked:
        """Every problem of every row."""
        problems, warnings = Findings(), Findings()
        sound: list[_Row] = []
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                text = f"is {values.shown(row)}, where an object of inputs is needed"
                problems.add(index, None, ProblemKind.ROW, text)
                continue
            sound.append((index, row))
            if not row.keys() <= self._names:
                self._refuse_unknown(index, row, problems)
        inputs = {}
        for spec in self.specs:
            column = _column(spec, sound, problems)
            if column is not None:
                inputs[spec.name] = column.values
                self._judge(spec, column, problems=problems, warnings=warnings)
        return Checked(inputs=inputs, problems=problems, warnings=warnings)

    def _refuse_unknown(self, index: int, row: dict[str, Any], problems: Findings) -> None:
        for name in row.keys() - self._names:
            text = f"is no input of this model: it takes {', '.join(sorted(self._names))}"
            problems.add(index, str(name)[:100], ProblemKind.UNKNOWN, text)

    def _judge(self, spec: InputSpec, column: _Column, *, problems: Findings, warnings: Findings) -> None:
        made = column.values
        if made.dtype.kind == "f":
            wrong, words = (np.isinf(made), "is infinite") if spec.nan else (~np.isfinite(made), "is no finite number")
            for place in _rows_where(wrong):
                problems.add(column.rows[place], spec.name, ProblemKind.NAN, words)
        findings = problems if spec.bounds == "enforce" else warnings
        for place in _rows_where(_outside(spec, made)):
            text = f"is {_shown(made[place])}, outside {_range(spec)}"
            findings.add(column.rows[place], spec.name, ProblemKind.RANGE, text)
        known = self._categories[spec.name]
        if known and made.dtype.kind == "O":
            foreign = np.array([item not in known for item in made.ravel()], dtype=bool).reshape(made.shape)
            for place in _rows_where(foreign):
                # The texts themselves are not told: a cohort's default has learnt them from others.
                text = f"is {_shown(made[place])}, which is none of the {len(known)} texts that are declared"
                findings.add(column.rows[place], spec.name, ProblemKind.CATEGORY, text)


def declared(manifest: ArtifactManifest) -> tuple[InputSpec, ...]:
    """What the artifact takes: its declarations, or what its signature says.

    Raises:
        TakesNoRows: there is no signature ``serving_default``, or one of its inputs has no batch.
    """
    signature = manifest.signature(SIGNATURE)
    if signature is None:
        raise TakesNoRows(f"it has no signature {SIGNATURE}")
    specs = manifest.inputs or tuple(
        InputSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape) for tensor in signature.inputs
    )
    for spec in specs:
        if spec.shape == ():
            raise TakesNoRows(f"its input {spec.name} has no batch")
    return specs


def _column(spec: InputSpec, rows: Sequence[_Row], problems: Findings) -> _Column | None:
    """The values of the rows that have sound ones; None where there is no such row."""
    shape = (spec.shape or (-1,))[1:]
    found = [row.get(spec.name) for _, row in rows]
    indices = [index for index, _ in rows]
    if not shape and found:
        made = values.column(found, spec.dtype)
        if made is not None:
            return _Column(values=made, rows=indices)
    flat: list[float | int | bytes | bool] = []
    sound: list[int] = []
    for index, value in zip(indices, found, strict=True):
        try:
            items = _items(spec, value, shape)
            _check_alike(items, len(flat), len(sound))
        except Unfit as unfit:
            problems.add(index, spec.name, unfit.kind, str(unfit))
            continue
        flat += items
        sound.append(index)
    if not sound:
        return None
    try:
        return _Column(values=values.array(flat, spec.dtype, (len(sound), *shape)), rows=sound)
    except ValueError:
        problems.add(None, spec.name, ProblemKind.SHAPE, "does not have one shape in all rows")
        return None


def _check_alike(items: Sequence[object], before: int, rows: int) -> None:
    if rows and len(items) * rows != before:
        raise Unfit(ProblemKind.SHAPE, f"has {len(items)} values, where the rows before have {before // rows}")


def _items(spec: InputSpec, value: object, shape: tuple[int, ...]) -> list[float | int | bytes | bool]:
    if value is not None:
        return values.row(value, spec.dtype, shape)
    if spec.required:
        raise Unfit(ProblemKind.MISSING, "is missing")
    if -1 in shape:
        raise Unfit(ProblemKind.MISSING, "is missing, and nobody knows how many values would stand for it")
    return [math.nan] * math.prod(shape)


def _rows_where(found: Array) -> list[int]:
    """The rows in which anything is true."""
    if not found.any():
        return []
    return [int(place) for place in np.flatnonzero(found.reshape(len(found), -1).any(axis=1))]


def _outside(spec: InputSpec, made: Array) -> Array:
    found = np.zeros(made.shape, dtype=bool)
    if made.dtype.kind not in "fiu":
        return found
    if spec.minimum is not None:
        found |= made < spec.minimum
    if spec.maximum is not None:
        found |= made > spec.maximum
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return values.shown(value.decode(errors="replace"))
    return f"{value:g}" if np.ndim(value) == 0 else values.shown(value.tolist())


def _range(spec: InputSpec) -> str:
    low = "" if spec.minimum is None else f"{spec.minimum:g}"
    high = "" if spec.maximum is None else f"{spec.maximum:g}"
    return f"{low} to {high}" if low and high else f"what is at least {low}" if low else f"what is at most {high}"
