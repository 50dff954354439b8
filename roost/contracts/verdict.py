"""Verdicts of canary checks. Each carries the numbers that led to it and one plain sentence."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from roost.contracts.manifest import Frozen


class Outcome(StrEnum):
    """What a check says. Could-not-measure is never PASS."""

    PASS = "pass"  # noqa: S105 (an outcome, not a password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class CheckResult(Frozen):
    """One check's finding."""

    check: str
    outcome: Outcome
    #: One sentence that an engineer understands at night.
    sentence: str = Field(min_length=1)
    #: What was computed, such as ``max_abs_difference``.
    statistic: str | None = None
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    #: Number of requests or pairs.
    n: int | None = None
    seed: int | None = None
    inputs_digest: str | None = None
    seconds: float | None = None


class Verdict(Frozen):
    """All checks of one canary, in the order they ran."""

    outcome: Outcome
    checks: tuple[CheckResult, ...]
    sentence: str

    @classmethod
    def of(cls, checks: tuple[CheckResult, ...]) -> Verdict:
        """Combine findings: any FAIL fails; else any INCONCLUSIVE, or no finding at all, is INCONCLUSIVE; else PASS."""
        failed = [result for result in checks if result.outcome is Outcome.FAIL]
        if failed:
            return cls(outcome=Outcome.FAIL, checks=checks, sentence=f"{failed[0].check}: {failed[0].sentence}")
        open_ = [result for result in checks if result.outcome is Outcome.INCONCLUSIVE]
        if open_:
            return cls(outcome=Outcome.INCONCLUSIVE, checks=checks, sentence=f"{open_[0].check}: {open_[0].sentence}")
        if not checks:
            return cls(outcome=Outcome.INCONCLUSIVE, checks=checks, sentence="No check ran, so nothing is known.")
        names = ", ".join(result.check for result in checks)
        return cls(outcome=Outcome.PASS, checks=checks, sentence=f"Passed {names}.")
