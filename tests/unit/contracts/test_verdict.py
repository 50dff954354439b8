"""Could-not-measure is never a pass."""

import itertools

import pytest

from roost.contracts.verdict import CheckResult, Outcome, Verdict


def result(check: str, outcome: Outcome) -> CheckResult:
    return CheckResult(check=check, outcome=outcome, sentence=f"{check} says {outcome}.")


def test_no_finding_at_all_is_inconclusive() -> None:
    assert Verdict.of(()).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("outcomes", list(itertools.product(Outcome, repeat=3)))
def test_a_failure_fails_and_doubt_is_never_a_pass(outcomes: tuple[Outcome, ...]) -> None:
    verdict = Verdict.of(tuple(result(f"c{index}", outcome) for index, outcome in enumerate(outcomes)))
    if Outcome.FAIL in outcomes:
        assert verdict.outcome is Outcome.FAIL
        assert verdict.sentence.startswith(f"c{outcomes.index(Outcome.FAIL)}:")
    elif Outcome.INCONCLUSIVE in outcomes:
        assert verdict.outcome is Outcome.INCONCLUSIVE
    else:
        assert verdict.outcome is Outcome.PASS
