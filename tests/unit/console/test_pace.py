"""When a rollout should be live, by those that lately were."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployer.console.pace import expected_at
from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import RolloutQuery
from tests.console import seed


@pytest.fixture(name="rows")
def _rows() -> dict[str, Rollout]:
    found = seed.build(ManualClock()).ledger.rollouts(RolloutQuery(limit=100))
    return {f"{row.customer} {row.phase}": row for row in found}


def took(row: Rollout, seconds: float, **fields: object) -> Rollout:
    return row.model_copy(update={"entered_at": row.received_at + timedelta(seconds=seconds), **fields})


def test_it_is_the_median_after_it_was_received(rows: dict[str, Rollout]):
    live = [took(rows["ua LIVE"], seconds) for seconds in (1, 2, 60)]
    canary = rows["wn CANARY"]
    assert expected_at(canary, live) == canary.received_at + timedelta(seconds=2)


def test_those_that_waited_for_a_person_do_not_count(rows: dict[str, Rollout]):
    live = [took(rows["ua LIVE"], 2, approved_by="policy"), took(rows["b6 LIVE"], 3600, approved_by="ann")]
    assert expected_at(rows["fl RECEIVED"], live) == rows["fl RECEIVED"].received_at + timedelta(seconds=2)


@pytest.mark.parametrize("key", ["9e AWAITING_APPROVAL", "vx HALTED", "dl REJECTED", "ua LIVE"])
def test_what_waits_or_has_arrived_has_no_time(rows: dict[str, Rollout], key: str):
    assert expected_at(rows[key], [rows["b6 LIVE"]]) is None


def test_without_any_to_compare_nothing_is_promised(rows: dict[str, Rollout]):
    assert expected_at(rows["wn CANARY"], []) is None
    assert expected_at(rows["wn CANARY"], [row for row in rows.values() if row.phase is not Phase.LIVE]) is None
