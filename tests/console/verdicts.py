"""Verdicts as the canary writes them."""

from __future__ import annotations

from roost.contracts.verdict import CheckResult, Outcome, Verdict


def passed() -> Verdict:
    return Verdict.of(
        (
            CheckResult(check="load", outcome=Outcome.PASS, sentence="Loaded in 0.31 s with 4.2 MB.", statistic="seconds",
                        estimate=0.31, threshold=60, n=1, seconds=0.31),
            CheckResult(check="signature", outcome=Outcome.PASS, sentence="All 7 inputs and 1 output are as declared.", n=8,
                        seconds=0.01),
            CheckResult(check="golden", outcome=Outcome.PASS, statistic="max_abs_difference", estimate=3.1e-8, threshold=1e-4,
                        sentence="32 recorded requests gave the recorded answers.", n=32, seconds=0.12),
            CheckResult(check="sanity", outcome=Outcome.PASS, sentence="Answers are finite, within 0 to 1 and vary.",
                        statistic="spread", estimate=0.41, threshold=1e-6, n=128, seed=7, seconds=0.18),
        )
    )  # fmt: skip


def failed_sanity() -> Verdict:
    first = passed().checks[:3]
    return Verdict.of(
        (*first, CheckResult(check="sanity", outcome=Outcome.FAIL, statistic="non_finite", estimate=128, threshold=0, n=128,
                             sentence="128 of 128 answers are NaN: `late_probability` must be within 0 and 1.", seconds=0.16)),
    )  # fmt: skip


def inconclusive() -> Verdict:
    first = passed().checks[:3]
    return Verdict.of(
        (*first, CheckResult(check="sanity", outcome=Outcome.INCONCLUSIVE, statistic="spread", n=6, threshold=16, seed=7,
                             sentence="Only 6 rows were held out; 16 are needed to call an output constant.", seconds=0.05)),
    )  # fmt: skip
