"""What `roost customers` says to somebody who never saw it before."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.cli import customers, customers_words
from roost.contracts.events import CustomerSignedUp
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


def test_two_stages_are_both_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command's own example named two, and the first was passed over without a word."""
    ledger = InMemoryLedger(ManualClock())
    for stage in (OnboardingStage.FAILED, OnboardingStage.REFUSED, OnboardingStage.TRAINED):
        signed_up = CustomerSignedUp(customer=stage.value.replace("_", "-"))
        ledger.sign_up(stage.value, signed_up, at=datetime.now(UTC), run_id="r")
        found = ledger.onboarding(signed_up.customer)
        assert found is not None
        ledger.set_onboarding(replace(found, stage=stage))
    monkeypatch.setattr(customers, "_ledger", lambda: nullcontext(ledger))
    customers.customers([OnboardingStage.FAILED, OnboardingStage.REFUSED], as_json=True)
    assert [row["customer"] for row in json.loads(capsys.readouterr().out)] == ["failed", "refused"]
    customers.customers([OnboardingStage.LEAVING, OnboardingStage.GONE])
    assert capsys.readouterr().out == "Nobody is leaving or gone.\n"
