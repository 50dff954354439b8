"""Sanity: NaN, Inf, out of the declared range, or the same answer whatever is asked.

Asked are the artifact's own requests, labelled rows, and what the customer lately asked of the live version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from deployer.checks.subject import CanarySubject, inputs_digest
from deployer.checks.tensors import CannotAsk, dtype_of, golden_inputs, holdout_inputs, rows_of
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.manifest import GoldenCase, HoldoutRow, OutputSpec
from roost.contracts.verdict import CheckResult, Outcome
from roost.ports.serving import Tensors

#: Labelled rows that are asked at most: one batch.
_ROWS: Final = 256
#: A float32 sigmoid may round to just beyond its range.
_ROUNDING: Final = 1e-6
#: Holdout rows carry raw features, which this signature takes.
_SIGNATURE: Final = "serving_default"

Answered = tuple[Tensors, Tensors]


class SanityCheck:
    """Asks every recorded request and a batch of labelled rows, and looks at the answers alone."""

    name: Final = "sanity"

    def run(self, subject: CanarySubject) -> CheckResult:
        """FAIL on the first answer that no sane model gives; INCONCLUSIVE with too few different rows."""
        rows = list(subject.holdout)[:_ROWS]
        try:
            recorded = _complete(subject)
            answered = list(_ask_all(subject, rows, recorded))
        except CannotAsk as error:
            return self._says(Outcome.INCONCLUSIVE, f"A recorded request cannot be sent: {error}.")
        except ModelServerUnavailable as error:
            return self._says(Outcome.INCONCLUSIVE, f"The canary did not answer: {error}.")
        except Permanent as error:
            return self._says(Outcome.FAIL, f"The model refuses a recorded request: {error}.")
        asked: list[GoldenCase | HoldoutRow] = [*subject.golden, *rows]
        return self._judged(subject, answered).model_copy(update={"inputs_digest": inputs_digest(asked, recorded)})

    def _judged(self, subject: CanarySubject, answered: Sequence[Answered]) -> CheckResult:
        distinct = len({row for inputs, _ in answered for row in rows_of(inputs)})
        specs = {spec.name: spec for spec in subject.manifest.outputs}
        for _, outputs in answered:
            wrong = _insane(outputs, specs)
            if wrong is not None:
                return self._says(Outcome.FAIL, wrong, distinct)
        minimum = subject.bounds.sanity.minimum_rows
        if distinct < minimum:
            sentence = (
                f"Only {distinct} different rows could be asked; {minimum} are needed to call an output constant."
            )
            return self._says(Outcome.INCONCLUSIVE, sentence, distinct)
        constant = _constant([outputs for _, outputs in answered])
        if constant is not None:
            sentence = f"Output {constant!r} is the same for {distinct} different rows."
            return self._says(Outcome.FAIL, sentence, distinct)
        return self._says(
            Outcome.PASS, f"Answers to {distinct} different rows are finite, in range and vary.", distinct
        )

    def _says(self, outcome: Outcome, sentence: str, rows: int | None = None) -> CheckResult:
        return CheckResult(check=self.name, outcome=outcome, sentence=sentence, n=rows)


def _complete(subject: CanarySubject) -> list[Tensors]:
    """The customer's requests that have every input of the candidate, in its type."""
    default = subject.manifest.signature(_SIGNATURE)
    if default is None or not subject.recorded:
        return []
    wanted = {spec.name: dtype_of(spec.dtype) for spec in default.inputs}
    return [inputs for inputs in subject.recorded if {name: found.dtype for name, found in inputs.items()} == wanted]


def _ask_all(subject: CanarySubject, rows: Sequence[HoldoutRow], recorded: Sequence[Tensors]) -> Iterator[Answered]:
    for case in subject.golden:
        declared = subject.manifest.signature(case.signature)
        if declared is None:
            raise CannotAsk(f"signature {case.signature!r} is not declared")
        inputs = golden_inputs(case, declared)
        yield inputs, subject.ask(inputs, case.signature)
    default = subject.manifest.signature(_SIGNATURE)
    if rows and default is not None:
        inputs = holdout_inputs(rows, default)
        yield inputs, subject.ask(inputs, _SIGNATURE)
    for inputs in recorded:
        yield inputs, subject.ask(inputs, _SIGNATURE)


def _insane(outputs: Tensors, specs: dict[str, OutputSpec]) -> str | None:
    for name in sorted(outputs):
        values = np.asarray(outputs[name])
        if values.dtype.kind not in "fiu":
            continue
        numbers = values.astype(np.float64)
        if np.isnan(numbers).any():
            return f"Output {name!r} answers NaN."
        if np.isinf(numbers).any():
            return f"Output {name!r} answers Inf."
        spec = specs.get(name)
        if spec is not None and numbers.size and not _in_range(numbers, spec):
            low, high = float(numbers.min()), float(numbers.max())
            return f"Output {name!r} answers {low:.4g} to {high:.4g}; {spec.minimum} to {spec.maximum} is declared."
    return None


def _in_range(numbers: np.ndarray, spec: OutputSpec) -> bool:
    low = spec.minimum is None or bool(numbers.min() >= spec.minimum - _ROUNDING)
    high = spec.maximum is None or bool(numbers.max() <= spec.maximum + _ROUNDING)
    return low and high


def _constant(answers: Sequence[Tensors]) -> str | None:
    """Name of a floating-point output that never varies. Whole numbers and strings may well be constant."""
    values: dict[str, list[np.ndarray]] = {}
    for outputs in answers:
        for name, found in outputs.items():
            if np.asarray(found).dtype.kind == "f":
                values.setdefault(name, []).append(np.asarray(found, dtype=np.float64).ravel())
    for name in sorted(values):
        joined = np.concatenate(values[name])
        if joined.size and float(joined.max() - joined.min()) == 0.0:
            return name
    return None
