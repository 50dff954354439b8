"""Golden: does it answer the recorded requests as the exported model did? Differences are train/serve skew."""

from __future__ import annotations

from typing import Final

import numpy as np

from deployer.checks.subject import CanarySubject, inputs_digest
from deployer.checks.tensors import Array, CannotAsk, golden_inputs, numbers, texts
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.manifest import GoldenCase
from roost.contracts.verdict import CheckResult, Outcome


class _Differs(Exception):
    """An answer that no tolerance can excuse."""


class _NotFinite(Exception):
    """NaN or Inf where a number was recorded: for the sanity check to name."""


class GoldenCheck:
    """The largest absolute difference over all recorded answers, against the policy's tolerance."""

    name: Final = "golden"

    def run(self, subject: CanarySubject) -> CheckResult:
        """FAIL beyond the tolerance; INCONCLUSIVE with too few cases, or where an answer is not comparable."""
        bounds = subject.bounds.golden
        if len(subject.golden) < bounds.minimum_cases:
            return self._unknown(
                f"{len(subject.golden)} requests are recorded; the policy wants {bounds.minimum_cases}."
            )
        try:
            worst = max((_difference(subject, case) for case in subject.golden), default=0.0)
        except CannotAsk as error:
            return self._unknown(f"A recorded request cannot be compared: {error}.")
        except ModelServerUnavailable as error:
            return self._unknown(f"The canary did not answer: {error}.")
        except _NotFinite as error:
            return self._unknown(f"{error}; the sanity check decides.")
        except (Permanent, _Differs) as error:
            return CheckResult(check=self.name, outcome=Outcome.FAIL, sentence=f"{error}.", n=len(subject.golden))
        outcome = Outcome.FAIL if worst > bounds.tolerance else Outcome.PASS
        return CheckResult(
            check=self.name,
            outcome=outcome,
            sentence=f"The largest difference to {len(subject.golden)} recorded answers is {worst:.3g}; "
            f"{bounds.tolerance:g} is allowed.",
            statistic="max_abs_difference",
            estimate=worst,
            threshold=bounds.tolerance,
            n=len(subject.golden),
            inputs_digest=inputs_digest(subject.golden),
        )

    def _unknown(self, sentence: str) -> CheckResult:
        return CheckResult(check=self.name, outcome=Outcome.INCONCLUSIVE, sentence=sentence)


def _difference(subject: CanarySubject, case: GoldenCase) -> float:
    declared = subject.manifest.signature(case.signature)
    if declared is None:
        raise CannotAsk(f"signature {case.signature!r} is not declared")
    answers = subject.ask(golden_inputs(case, declared), case.signature)
    worst = 0.0
    for name, recorded in case.outputs.items():
        if name not in answers:
            raise _Differs(f"Output {name!r} was recorded, and the answer has none")
        worst = max(worst, _gap(name, np.asarray(answers[name]), recorded))
    return worst


def _gap(name: str, answer: Array, recorded: list[object]) -> float:
    if answer.dtype.kind in "SUO":
        if texts(answer) != texts(recorded):
            raise _Differs(f"Output {name!r} answers other strings than were recorded")
        return 0.0
    wanted, found = numbers(recorded), answer.astype(np.float64)
    if wanted.shape != found.shape:
        raise _Differs(f"Output {name!r} has shape {list(found.shape)}, and {list(wanted.shape)} was recorded")
    if np.any(np.isfinite(wanted) & ~np.isfinite(found)):
        raise _NotFinite(f"Output {name!r} answers NaN or Inf where a number was recorded")
    comparable = np.isfinite(wanted)
    if np.any(np.isfinite(found) & ~comparable):
        raise _Differs(f"Output {name!r} answers a number where NaN or Inf was recorded")
    # A difference beyond all numbers is infinite, and beyond every tolerance.
    with np.errstate(over="ignore"):
        return float(np.max(np.abs(np.subtract(wanted[comparable], found[comparable])), initial=0.0))
