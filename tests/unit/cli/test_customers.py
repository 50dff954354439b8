"""What `roost customers` says to somebody who never saw it before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from roost.cli import customers_words
from roost.ports.ledger import Onboarding, OnboardingStage


def row(stage: OnboardingStage, error: str | None = None, **changes: str) -> Onboarding:
    known = {"customer": "oo", "model": "default", "name": "SkyWest", "airflow_run_id": "signup__oo__1"}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Onboarding(**{**known, **changes}, stage=stage, event_id="e", signed_up_at=at, error=error)  # type: ignore[arg-type]  # all text


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (OnboardingStage.SIGNED_UP, ("signed up", "Waits for its training run")),
        (OnboardingStage.TRAINING, ("training", "run signup__oo__1 is under way")),
        (OnboardingStage.TRAINED, ("trained", "`roost why oo`")),
        (OnboardingStage.FAILED, ("training failed", "roost train oo --reason", "roost why oo")),
        (OnboardingStage.REFUSED, ("refused", "roost train oo --reason")),
        (OnboardingStage.LEAVING, ("leaving", "being retired")),
        (OnboardingStage.GONE, ("gone", "`roost signup oo`")),
    ],
)
def test_each_stage_is_said_with_what_to_do(
    stage: OnboardingStage, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    customers_words.table([row(stage)])
    printed = capsys.readouterr().out
    assert [part for part in says if part not in printed] == []


def test_what_went_wrong_stands_before_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    customers_words.table([row(OnboardingStage.FAILED, "task train_and_stage failed: oo has 32 rows [of 500]. ")])
    assert "task train_and_stage failed: oo has 32 rows [of 500]. Mend it, then" in capsys.readouterr().out


def test_a_run_that_cannot_be_started_yet_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    customers_words.table([row(OnboardingStage.SIGNED_UP, "Airflow does not answer", model="fraud", name="")])
    printed = capsys.readouterr().out
    assert "oo.fraud" in printed
    assert "Airflow does not answer. Waits for its training run" in printed
