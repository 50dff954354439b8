"""The transition table: every row that is there, and every row that is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployer.domain.transitions import TABLE, Cause, TransitionRefused, deadline, transition
from roost.contracts.cloudevents import decode, encode
from roost.contracts.policy import Rules
from roost.contracts.rollout import TERMINAL, Phase, Rollout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CAUSE = Cause(at=NOW + timedelta(seconds=5), reason="because", actor="ann", facts={"seconds": 1.5})
ROWS = [(before, after) for before in Phase for after in Phase]


def rollout(phase: Phase) -> Rollout:
    return Rollout(
        id="r",
        customer="ua",
        model="default",
        pool="default",
        phase=phase,
        run_id="run",
        digest="sha256:" + "a" * 64,
        artifact_uri="gs://roost/staging/ua/default/run/",
        trained_at=NOW,
        received_at=NOW,
        entered_at=NOW,
        deadline=NOW,
        version=3,
        revision=4,
    )


@pytest.mark.parametrize(("before", "after"), ROWS)
def test_the_table_alone_decides_what_may_follow(before: Phase, after: Phase) -> None:
    if after not in TABLE[before]:
        with pytest.raises(TransitionRefused, match=f"is {before}; it cannot become {after}"):
            transition(rollout(before), after, CAUSE)
        return
    step = transition(rollout(before), after, CAUSE, version=7)
    assert (step.after.phase, step.after.revision, step.after.version) == (after, 5, 7)
    assert (step.after.entered_at, step.after.deadline, step.after.reason) == (CAUSE.at, None, "because")
    assert (step.transition.before, step.transition.after, step.transition.sequence) == (before, after, 6)
    assert step.event.type == f"roost.rollout.{after.value.lower()}.v1"
    message = encode(step.event)
    assert decode(message.value, message.headers).data == step.event.data


def test_every_phase_is_in_the_table_and_only_a_person_reopens_an_end() -> None:
    assert set(TABLE) == set(Phase)
    assert {phase: set(TABLE[phase]) for phase in TERMINAL if TABLE[phase]} == {Phase.SETTLED: {Phase.ROLLING_BACK}}


def test_the_architecture_page_has_the_same_table() -> None:
    """It named a way from PROMOTING to HALTED that nothing took, and left out one from LIVE that is taken."""
    page = (Path(__file__).parents[3] / "ARCHITECTURE.md").read_text()
    section = page.partition("## States of a rollout")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    told = {
        Phase(name): {Phase(word) for word in re.findall(r"[A-Z_]{4,}", after)}
        for names, after in rows
        if names.isupper()
        for name in names.split(", ")
    }
    assert told == {phase: set(after) for phase, after in TABLE.items()}


def test_every_phase_but_the_ends_leads_to_an_end() -> None:
    reaches: set[Phase] = set(TERMINAL)
    for _ in Phase:
        reaches |= {phase for phase in Phase if TABLE[phase] & reaches}
    assert reaches == set(Phase)


def test_a_repeated_step_repeats_its_event_id() -> None:
    first = transition(rollout(Phase.RECEIVED), Phase.STORED, CAUSE)
    again = transition(rollout(Phase.RECEIVED), Phase.STORED, CAUSE)
    other = transition(first.after, Phase.VETTED, CAUSE)
    assert first.event.id == again.event.id
    assert first.event.id != other.event.id


def test_a_field_that_no_rollout_has_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        transition(rollout(Phase.RECEIVED), Phase.STORED, CAUSE, colour="red")


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_with_work_has_the_policys_deadline(phase: Phase) -> None:
    due = deadline(phase, NOW, Rules(bake_seconds=42))
    waits_for_ever = {Phase.VETTED, Phase.HALTED, *TERMINAL}
    assert (due is None) == (phase in waits_for_ever)
    if phase is Phase.LIVE:
        assert due == NOW + timedelta(seconds=42)
