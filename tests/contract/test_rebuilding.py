"""What filling a ledger must do, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.postgres import PostgresLedger
from roost.contracts.errors import Conflict
from roost.contracts.events import Command, CustomerSignedUp, DeployCommand
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.ports.ledger import CommandRow, Freeze, Onboarding, OnboardingStage, Quarantine
from roost.ports.rebuilding import Contents, RebuiltRollout, TakenIn
from tests.contract.test_ledger import a_change, a_rollout, an_event

pytestmark = pytest.mark.contract

T0 = datetime(2026, 1, 1, tzinfo=UTC)
COMMAND = DeployCommand(command=Command.PROMOTE, actor="ann", reason="because", customer="acme")
ACME = Onboarding(
    customer="acme",
    model="default",
    name="Acme",
    stage=OnboardingStage.TRAINED,
    event_id="s1",
    signed_up_at=T0,
    airflow_run_id="signup__s1",
)
QUARANTINE = Quarantine(digest="sha256:9", customer="acme", model="default", reason="bad", actor="ann", at=T0)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[InMemoryLedger | PostgresLedger]:
    clock = ManualClock(T0)
    if request.param == "memory":
        yield InMemoryLedger(clock)
        return
    from roost.adapters.postgres import open_ledger

    opened = open_ledger(request.getfixturevalue("database_settings"), clock)
    yield opened
    opened.close()


Filled = InMemoryLedger | PostgresLedger


def lines(row: Rollout, *phases: Phase) -> tuple[Transition, ...]:
    made, before = [], None
    for number, phase in enumerate(phases, start=1):
        made.append(
            Transition(
                rollout_id=row.id, sequence=number, before=before, after=phase, at=T0, actor="deployer", reason="so"
            )
        )
        before = phase
    return tuple(made)


def rebuilt(number: int, *phases: Phase, **changes: object) -> RebuiltRollout:
    fields = {"phase": phases[-1], "revision": len(phases) - 1, "version": number, **changes}
    row = a_rollout(number, **fields)
    return RebuiltRollout(rollout=row, history=lines(row, *phases))


OLD = rebuilt(1, Phase.RECEIVED, Phase.LIVE, Phase.SETTLED)
NEW = rebuilt(2, Phase.RECEIVED, Phase.LIVE, previous_version=1)
CONTENTS = Contents(
    inbox=(TakenIn(kind="customers", event_id="s1", at=T0), TakenIn(kind="models.ready", event_id="ready-1", at=T0)),
    onboardings=(ACME,),
    rollouts=(NEW, OLD),
    answering=("r2",),
    last_versions={("acme", "default"): 5},
    quarantines=(QUARANTINE,),
    freezes=(Freeze(scope="fleet", reason="holiday", actor="ann", at=T0),),
    commands=(CommandRow(event_id="c1", command=COMMAND, received_at=T0, done_at=T0, outcome="Done."),),
    told=(an_event("told"),),
    untold=(an_event("untold"),),
    generations={"default": 7},
)


def test_everything_is_there_as_it_was(ledger: Filled) -> None:
    ledger.fill(CONTENTS)
    assert ledger.customers() == [ACME]
    assert ledger.rollout("r2") == NEW.rollout
    assert tuple(ledger.history("r1")) == OLD.history
    assert ledger.live("acme", "default") == NEW.rollout
    assert (ledger.quarantines(), ledger.freezes()) == ([QUARANTINE], list(CONTENTS.freezes))
    assert ledger.commands(9) == list(CONTENTS.commands)
    assert (ledger.newest_generation("default"), ledger.newest_generation("canary")) == (7, None)
    assert [row.event.id for row in ledger.recent_events(limit=9)] == ["told", "untold"]
    assert [row.event.id for row in ledger.unpublished(9)] == ["untold"]


def test_what_was_handled_before_is_not_handled_again(ledger: Filled) -> None:
    ledger.fill(CONTENTS)
    payload = CustomerSignedUp(customer="acme", model="other")
    assert not ledger.sign_up("s1", payload, at=T0, run_id="x")
    assert not ledger.receive(a_rollout(8), event_id="ready-1", events=[])
    assert not ledger.submit("c1", COMMAND, at=T0)
    assert ledger.open_commands(9) == []


def test_the_next_version_is_one_that_was_never_given_out(ledger: Filled) -> None:
    ledger.fill(CONTENTS)
    ledger.receive(a_rollout(3), event_id="ready-3", events=[])
    assert ledger.allocate_version("r3") == 6
    assert ledger.allocate_version("r2") == 2


def test_a_rollout_goes_on_where_its_history_ends(ledger: Filled) -> None:
    ledger.fill(CONTENTS)
    ledger.apply([a_change(ledger.rollout("r2"), Phase.SETTLED, 3)])
    assert [line.sequence for line in ledger.history("r2")] == [1, 2, 3]


def test_a_ledger_that_is_not_empty_is_left_alone(ledger: Filled) -> None:
    ledger.sign_up("s9", CustomerSignedUp(customer="other"), at=T0, run_id="x")
    with pytest.raises(Conflict, match="not empty"):
        ledger.fill(CONTENTS)
    assert [row.customer for row in ledger.customers()] == ["other"]
    assert {table: count for table, count in ledger.rows().items() if count} == {"inbox": 1, "onboardings": 1}


def test_filling_again_changes_nothing(ledger: Filled) -> None:
    ledger.fill(CONTENTS)
    before = ledger.rows()
    ledger.fill(CONTENTS, onto=True)
    assert ledger.rows() == before
    assert ledger.rollout("r2") == NEW.rollout
    assert ledger.live("acme", "default") == NEW.rollout


def test_onto_a_backup_only_what_came_later_is_written(ledger: Filled) -> None:
    # The backup: version 1 is LIVE, a quarantine and a freeze stand, a command is open, a signup is known.
    ledger.fill(
        Contents(
            inbox=CONTENTS.inbox[:1],
            onboardings=(replace(ACME, stage=OnboardingStage.FAILED, error="told to nobody else"),),
            rollouts=(rebuilt(1, Phase.RECEIVED, Phase.LIVE),),
            quarantines=(replace(QUARANTINE, digest="sha256:8"),),
            freezes=(Freeze(scope="acme", reason="old", actor="ann", at=T0),),
            commands=(CommandRow(event_id="c1", command=COMMAND, received_at=T0),),
            generations={"default": 3},
        )
    )
    later = replace(ACME, customer="later", event_id="s2", signed_up_at=T0 + timedelta(days=1))
    world = replace(
        CONTENTS,
        onboardings=(ACME, later),
        released=frozenset({"sha256:8"}),
        thawed=frozenset({"acme"}),
    )
    ledger.fill(world, onto=True)
    assert [(row.customer, row.stage) for row in ledger.customers()] == [
        ("acme", OnboardingStage.FAILED),
        ("later", OnboardingStage.TRAINED),
    ]
    assert ledger.rollout("r1").phase is Phase.SETTLED
    assert [line.after for line in ledger.history("r1")] == [Phase.RECEIVED, Phase.LIVE, Phase.SETTLED]
    assert ledger.live("acme", "default") == NEW.rollout
    assert [entry.digest for entry in ledger.quarantines()] == ["sha256:9"]
    assert [entry.scope for entry in ledger.freezes()] == ["fleet"]
    assert ledger.open_commands(9) == []
    assert ledger.newest_generation("default") == 7


def test_a_row_that_knows_more_than_the_log_stays(ledger: Filled) -> None:
    ledger.fill(Contents(rollouts=(rebuilt(2, Phase.RECEIVED, Phase.LIVE, Phase.ROLLING_BACK, Phase.ROLLED_BACK),)))
    ledger.fill(CONTENTS, onto=True)
    assert ledger.rollout("r2").phase is Phase.ROLLED_BACK
    assert len(ledger.history("r2")) == 4


def test_a_generation_never_falls(ledger: Filled) -> None:
    for number in (1, 4, 2):
        ledger.reserve_generation("default", number)
    assert ledger.newest_generation("default") == 4
