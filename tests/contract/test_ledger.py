"""What every ledger must do, in memory and in PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deployer.domain.scopes import HeldScope, Scope, read
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict, NotFound, Permanent
from roost.contracts.events import (
    OPERATION_REPORTED,
    Command,
    CustomerSignedUp,
    DeployCommand,
    OperationReported,
)
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.contracts.verdict import CheckResult, Outcome, Verdict
from roost.ports.ledger import Change, Freeze, Ledger, OnboardingStage, Quarantine, RolloutQuery, Settled

pytestmark = pytest.mark.contract

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ALL = frozenset(Phase)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Ledger]:
    if request.param == "memory":
        yield InMemoryLedger(clock)
        return
    from roost.adapters.postgres import open_ledger

    opened = open_ledger(request.getfixturevalue("database_settings"), clock)
    yield opened
    opened.close()


def a_rollout(number: int = 1, **changes: object) -> Rollout:
    fields: dict[str, object] = {
        "id": f"r{number}",
        "customer": "acme",
        "model": "default",
        "pool": "default",
        "phase": Phase.RECEIVED,
        "run_id": f"run-{number}",
        "digest": f"sha256:{number:064x}",
        "artifact_uri": f"gs://roost/staging/acme/default/run-{number}/",
        "trained_at": T0,
        "received_at": T0 + timedelta(seconds=number),
        "entered_at": T0 + timedelta(seconds=number),
        "reason": "training staged it",
        "facts": {"metrics": {"log_loss": 0.25}, "window": ["2013-01", "2013-03"]},
    }
    return Rollout.model_validate(fields | changes)


def an_event(event_id: str = "e1") -> Event:
    data = OperationReported(what="test", actor="test", reason="because", facts={"n": 1})
    return Event(id=event_id, type=OPERATION_REPORTED, source="roost/test", subject="default", time=T0, data=data)


def receive(ledger: Ledger, number: int = 1, **changes: object) -> Rollout:
    rollout = a_rollout(number, **changes)
    assert ledger.receive(rollout, event_id=f"ready-{number}", events=[])
    return rollout


def a_change(
    before: Rollout, phase: Phase, sequence: int = 2, *, events: tuple[Event, ...] = (), **fields: object
) -> Change:
    after = before.model_copy(update={"phase": phase, "revision": before.revision + 1, **fields})
    line = Transition(
        rollout_id=before.id,
        sequence=sequence,
        before=before.phase,
        after=phase,
        at=T0,
        actor="deployer",
        reason="it was so",
        facts={"seconds": 1.5},
    )
    return Change(before=before, after=after, transition=line, events=events)


def move(ledger: Ledger, before: Rollout, *phases: Phase) -> Rollout:
    for phase in phases:
        sequence = ledger.history(before.id)[-1].sequence + 1
        ledger.apply([a_change(before, phase, sequence)])
        before = ledger.rollout(before.id)
    return before


SIGNUP = CustomerSignedUp(customer="acme", name="Acme Air")


def sign_up(ledger: Ledger, event_id: str = "s1", payload: CustomerSignedUp = SIGNUP) -> bool:
    return ledger.sign_up(event_id, payload, at=T0, run_id=f"signup__{event_id}")


def stand(ledger: Ledger, stage: OnboardingStage, **fields: object) -> None:
    """The only customer stands there now."""
    [row] = ledger.customers()
    ledger.set_onboarding(replace(row, stage=stage, **fields))  # type: ignore[arg-type]  # fields of the row


class TestOnboarding:
    def test_a_signup_makes_a_row_that_is_due(self, ledger: Ledger) -> None:
        assert sign_up(ledger)
        row = ledger.onboarding("acme")
        assert row is not None
        assert (row.stage, row.name, row.airflow_run_id) == (OnboardingStage.SIGNED_UP, "Acme Air", "signup__s1")
        assert ledger.due_onboardings(now=T0, limit=5, lease_seconds=10) == [row]

    def test_the_oldest_signup_waits_until_something_since_then_answers_or_ends(self, ledger: Ledger) -> None:
        assert ledger.oldest_unanswered() is None
        ended = receive(ledger, 1, received_at=T0 - timedelta(seconds=1))
        move(ledger, ended, Phase.REJECTED)
        sign_up(ledger)
        ledger.sign_up("s2", CustomerSignedUp(customer="beta", name="B"), at=T0 + timedelta(seconds=9), run_id="r")
        assert ledger.oldest_unanswered() == T0
        answering = move(ledger, receive(ledger, 2), Phase.PROMOTING)
        assert ledger.oldest_unanswered() == T0
        move(ledger, answering, Phase.LIVE)
        assert ledger.oldest_unanswered() == T0 + timedelta(seconds=9)
        move(ledger, receive(ledger, 3, customer="beta", received_at=T0 + timedelta(seconds=10)), Phase.REJECTED)
        assert ledger.oldest_unanswered() is None

    def test_the_same_event_again_changes_nothing(self, ledger: Ledger) -> None:
        assert sign_up(ledger)
        assert [sign_up(ledger) for _ in range(9)] == [False] * 9
        assert len(ledger.customers()) == 1

    def test_another_signup_of_a_customer_on_the_way_changes_nothing(self, ledger: Ledger) -> None:
        sign_up(ledger)
        assert not sign_up(ledger, "s2")
        assert ledger.onboarding("acme").event_id == "s1"  # type: ignore[union-attr]  # the row was just made

    def test_another_signup_for_another_model_is_new(self, ledger: Ledger) -> None:
        sign_up(ledger)
        assert sign_up(ledger, "s2", CustomerSignedUp(customer="acme", model="fraud"))
        assert [(row.model, row.event_id) for row in ledger.customers()] == [("fraud", "s2")]

    def test_a_leased_row_is_not_due_until_the_lease_ends(self, ledger: Ledger) -> None:
        sign_up(ledger)
        assert ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        assert not ledger.due_onboardings(now=T0 + timedelta(seconds=9), limit=5, lease_seconds=10)
        assert ledger.due_onboardings(now=T0 + timedelta(seconds=10), limit=5, lease_seconds=10)

    def test_what_was_written_back_is_due_at_its_next_attempt(self, ledger: Ledger) -> None:
        sign_up(ledger)
        [row] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=100)
        later = T0 + timedelta(seconds=30)
        ledger.set_onboarding(replace(row, attempts=1, next_attempt_at=later, error="Airflow is away"))
        assert not ledger.due_onboardings(now=later - timedelta(seconds=1), limit=5, lease_seconds=1)
        [again] = ledger.due_onboardings(now=later, limit=5, lease_seconds=1)
        assert (again.attempts, again.error) == (1, "Airflow is away")

    def test_who_failed_was_refused_or_left_waits_for_no_answer(self, ledger: Ledger) -> None:
        sign_up(ledger)
        waits = set()
        for stage in OnboardingStage:
            stand(ledger, stage)
            waits |= {stage} if ledger.oldest_unanswered() == T0 else set()
        assert waits == {OnboardingStage.SIGNED_UP, OnboardingStage.TRAINING, OnboardingStage.TRAINED}

    def test_who_is_in_training_is_looked_at_after_those_who_wait_for_a_run(self, ledger: Ledger) -> None:
        sign_up(ledger)
        stand(ledger, OnboardingStage.TRAINING)
        sign_up(ledger, "s2", CustomerSignedUp(customer="zeta"))
        found = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        assert [row.customer for row in found] == ["zeta", "acme"]
        assert [one.customer for one in ledger.customers(OnboardingStage.TRAINING)] == ["acme"]
        assert [one.customer for one in ledger.customers(OnboardingStage.SIGNED_UP)] == ["zeta"]

    def test_who_was_due_first_comes_first_however_old_the_others_signups_are(self, ledger: Ledger) -> None:
        """By signup alone, 240 old customers whose runs took long kept everybody newer from ever being looked at."""
        for second, (name, due) in enumerate({"old": 9, "new": 5, "newest": 7}.items()):
            ledger.sign_up(name, CustomerSignedUp(customer=name), at=T0 + timedelta(seconds=second), run_id=name)
            row = ledger.onboarding(name)
            assert row is not None
            due_at = T0 + timedelta(seconds=due)
            ledger.set_onboarding(replace(row, stage=OnboardingStage.TRAINING, next_attempt_at=due_at))
        found = ledger.due_onboardings(now=T0 + timedelta(seconds=60), limit=2, lease_seconds=10)
        assert [row.customer for row in found] == ["new", "newest"]

    def test_whose_run_has_ended_is_not_due(self, ledger: Ledger) -> None:
        sign_up(ledger)
        for stage in (OnboardingStage.TRAINED, OnboardingStage.FAILED):
            stand(ledger, stage, error="a task failed")
            assert not ledger.due_onboardings(now=T0 + timedelta(days=1), limit=5, lease_seconds=10)
            [row] = ledger.customers(stage)
            assert (row.stage, row.error) == (stage, "a task failed")

    def test_a_signup_begins_again_where_there_is_no_model(self, ledger: Ledger) -> None:
        sign_up(ledger)
        stand(ledger, OnboardingStage.TRAINED)
        assert not sign_up(ledger, "s2")
        for number, stage in enumerate((OnboardingStage.FAILED, OnboardingStage.REFUSED), start=3):
            stand(ledger, stage, error="why")
            assert sign_up(ledger, f"s{number}")
            [row] = ledger.customers()
            assert (row.stage, row.event_id, row.error) == (OnboardingStage.SIGNED_UP, f"s{number}", None)

    def test_a_run_that_was_started_by_hand_is_followed(self, ledger: Ledger) -> None:
        ends = {OnboardingStage.SIGNED_UP, OnboardingStage.LEAVING, OnboardingStage.GONE}
        sign_up(ledger)
        held = "signup__s1"
        for number, stage in enumerate(OnboardingStage):
            stand(ledger, stage, error="why", attempts=3, next_attempt_at=T0 + timedelta(days=1))
            assert ledger.follow_run("acme", "default", f"manual__{number}") is (stage not in ends)
            [row] = ledger.customers()
            if stage in ends:
                assert (row.stage, row.airflow_run_id, row.attempts) == (stage, held, 3)
                continue
            held = f"manual__{number}"
            assert (row.stage, row.airflow_run_id, row.attempts) == (OnboardingStage.TRAINING, held, 0)
            assert ledger.due_onboardings(now=T0, limit=5, lease_seconds=10) == [row]

    def test_a_run_of_another_model_or_of_nobody_is_not_followed(self, ledger: Ledger) -> None:
        sign_up(ledger)
        stand(ledger, OnboardingStage.FAILED)
        assert not ledger.follow_run("acme", "fraud", "manual__1")
        assert not ledger.follow_run("nobody", "default", "manual__1")

    def test_what_became_of_a_run_does_not_overwrite_that_another_is_followed(self, ledger: Ledger) -> None:
        """The worker looked at the failed run while an engineer started the next: that one was never looked at."""
        sign_up(ledger)
        stand(ledger, OnboardingStage.TRAINING)
        [held] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        ledger.follow_run("acme", "default", "manual__1")
        ledger.set_onboarding(replace(held, stage=OnboardingStage.FAILED))
        [row] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        assert (row.stage, row.airflow_run_id) == (OnboardingStage.TRAINING, "manual__1")

    def test_the_late_event_of_an_older_run_does_not_end_a_failed_training(
        self, ledger: Ledger, clock: ManualClock
    ) -> None:
        sign_up(ledger)
        clock.advance(60)
        stand(ledger, OnboardingStage.FAILED, error="too few rows")
        receive(ledger, 1, trained_at=T0)
        assert [row.stage for row in ledger.customers()] == [OnboardingStage.FAILED]
        receive(ledger, 2, trained_at=T0, run_id="signup__s1~2")
        assert [row.stage for row in ledger.customers()] == [OnboardingStage.TRAINED]
        stand(ledger, OnboardingStage.FAILED, error="too few rows")
        receive(ledger, 3, trained_at=T0 + timedelta(hours=1))
        assert [row.stage for row in ledger.customers()] == [OnboardingStage.TRAINED]

    def test_a_model_that_comes_ends_a_failed_training(self, ledger: Ledger) -> None:
        sign_up(ledger)
        stand(ledger, OnboardingStage.FAILED, error="too few rows")
        receive(ledger)
        [row] = ledger.customers()
        assert (row.stage, row.error) == (OnboardingStage.TRAINED, None)
        stand(ledger, OnboardingStage.FAILED, error="too few rows")
        receive(ledger, 2, model="fraud")
        ledger.receive(a_rollout(1), event_id="again", events=[])
        assert [row.stage for row in ledger.customers()] == [OnboardingStage.FAILED]

    def test_who_leaves_is_due_for_retirement_at_once_with_the_reason(self, ledger: Ledger) -> None:
        sign_up(ledger)
        ledger.due_onboardings(now=T0, limit=5, lease_seconds=1000)
        assert ledger.offboard("o1", "acme", "contract ended", at=T0)
        [row] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        assert (row.stage, row.event_id, row.reason) == (OnboardingStage.LEAVING, "o1", "contract ended")

    def test_leaving_while_a_run_was_started_is_not_overwritten(self, ledger: Ledger) -> None:
        """The worker held the row from before the customer left; its late write made the offboarding vanish."""
        sign_up(ledger)
        [held] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        ledger.offboard("o1", "acme", "left", at=T0)
        ledger.set_onboarding(replace(held, stage=OnboardingStage.TRAINING))
        [row] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        assert row.stage is OnboardingStage.LEAVING

    def test_who_is_unknown_or_gone_cannot_leave(self, ledger: Ledger) -> None:
        assert not ledger.offboard("o1", "nobody", "left", at=T0)
        assert ledger.onboarding("nobody") is None

    def test_who_left_can_come_back(self, ledger: Ledger) -> None:
        sign_up(ledger)
        ledger.offboard("o1", "acme", "left", at=T0)
        assert sign_up(ledger, "s2")
        row = ledger.onboarding("acme")
        assert row is not None
        assert (row.stage, row.event_id, row.reason) == (OnboardingStage.SIGNED_UP, "s2", "")

    def test_the_limit_bounds_what_is_taken(self, ledger: Ledger) -> None:
        for number in range(4):
            sign_up(ledger, f"s{number}", CustomerSignedUp(customer=f"c{number}"))
        assert len(ledger.due_onboardings(now=T0, limit=3, lease_seconds=10)) == 3
        assert len(ledger.due_onboardings(now=T0, limit=3, lease_seconds=10)) == 1


class TestReceiving:
    def test_a_rollout_comes_back_as_it_went_in(self, ledger: Ledger) -> None:
        rollout = receive(ledger)
        assert ledger.rollout("r1") == rollout
        [first] = ledger.history("r1")
        assert (first.sequence, first.before, first.after) == (1, None, Phase.RECEIVED)

    def test_each_event_ten_times_gives_one_rollout(self, ledger: Ledger) -> None:
        results = [ledger.receive(a_rollout(), event_id="x", events=[an_event()]) for _ in range(10)]
        assert results == [True] + [False] * 9
        assert len(ledger.rollouts(RolloutQuery())) == 1
        assert len(ledger.unpublished(10)) == 1

    def test_the_same_digest_by_another_event_gives_no_second_rollout(self, ledger: Ledger) -> None:
        receive(ledger)
        twin = a_rollout(2, digest=a_rollout(1).digest)
        assert not ledger.receive(twin, event_id="ready-2", events=[an_event()])
        assert not ledger.unpublished(10)

    def test_the_same_digest_of_another_customer_is_another_rollout(self, ledger: Ledger) -> None:
        receive(ledger)
        assert ledger.receive(a_rollout(2, customer="other", digest=a_rollout(1).digest), event_id="e", events=[])

    def test_an_unknown_rollout_is_named(self, ledger: Ledger) -> None:
        for ask in (ledger.rollout, ledger.history, ledger.allocate_version):
            with pytest.raises(NotFound, match="nope"):
                ask("nope")


class TestSearching:
    def test_newest_come_first_page_by_page(self, ledger: Ledger) -> None:
        for number in range(1, 6):
            receive(ledger, number)
        page = ledger.rollouts(RolloutQuery(limit=2))
        assert [row.id for row in page] == ["r5", "r4"]
        assert [row.id for row in ledger.rollouts(RolloutQuery(limit=2, before=page[-1].received_at))] == ["r3", "r2"]

    def test_each_field_narrows(self, ledger: Ledger) -> None:
        receive(ledger, 1)
        receive(ledger, 2, customer="other", model="fraud", pool="big")
        move(ledger, ledger.rollout("r2"), Phase.STORED)
        for query in (
            RolloutQuery(customer="other"),
            RolloutQuery(model="fraud"),
            RolloutQuery(pool="big"),
            RolloutQuery(run_id="run-2"),
            RolloutQuery(phases=frozenset({Phase.STORED, Phase.VETTED})),
        ):
            assert [row.id for row in ledger.rollouts(query)] == ["r2"]
        assert not ledger.rollouts(RolloutQuery(phases=frozenset()))

    def test_a_run_is_found_whichever_of_its_attempts_staged_the_model(self, ledger: Ledger) -> None:
        """The note at each run links there by the run's id, and a second attempt stages under `~2`."""
        for number, run_id in enumerate(("a", "a~2", "a~3", "ab~2", "b~a"), start=1):
            receive(ledger, number, run_id=run_id)
        found = {name: [row.run_id for row in ledger.rollouts(RolloutQuery(run_id=name))] for name in ("a", "a~2", "b")}
        assert found == {"a": ["a~3", "a~2", "a"], "a~2": ["a~2"], "b": []}


class TestClaiming:
    def test_a_claimed_row_is_nobody_elses_until_the_lease_ends(self, ledger: Ledger, clock: ManualClock) -> None:
        receive(ledger)
        assert [row.id for row in ledger.claim(ALL, owner="a", limit=5, lease_seconds=30)] == ["r1"]
        assert not ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)
        clock.advance(30)
        assert ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)

    def test_oldest_first_of_the_phases_asked(self, ledger: Ledger) -> None:
        for number in (3, 1, 2):
            receive(ledger, number, customer=f"c{number}")
        move(ledger, ledger.rollout("r1"), Phase.STORED)
        taken = ledger.claim(frozenset({Phase.RECEIVED}), owner="a", limit=1, lease_seconds=30)
        assert [row.id for row in taken] == ["r2"]

    def test_what_is_given_back_is_due_after_its_time(self, ledger: Ledger, clock: ManualClock) -> None:
        receive(ledger)
        ledger.claim(ALL, owner="a", limit=5, lease_seconds=30)
        ledger.give_back("r1", owner="a", due_in_seconds=5)
        assert not ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)
        clock.advance(5)
        assert ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)

    def test_only_the_owner_gives_back(self, ledger: Ledger) -> None:
        receive(ledger)
        ledger.claim(ALL, owner="a", limit=5, lease_seconds=30)
        ledger.give_back("r1", owner="b", due_in_seconds=0)
        assert not ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)

    def test_a_transition_drops_the_lease(self, ledger: Ledger) -> None:
        rollout = receive(ledger)
        ledger.claim(ALL, owner="a", limit=5, lease_seconds=30)
        move(ledger, rollout, Phase.STORED)
        assert ledger.claim(ALL, owner="b", limit=5, lease_seconds=30)

    def test_two_at_once_share_the_rows_and_never_one_row(self, ledger: Ledger) -> None:
        for number in range(1, 21):
            receive(ledger, number)
        taken: list[str] = []
        barrier = threading.Barrier(4)

        def work(owner: str) -> None:
            barrier.wait(10)
            for _ in range(5):
                taken.extend(row.id for row in ledger.claim(ALL, owner=owner, limit=1, lease_seconds=30))

        threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(taken) == sorted(f"r{number}" for number in range(1, 21))


class TestTransitions:
    def test_row_history_and_event_are_written_together(self, ledger: Ledger) -> None:
        before = receive(ledger)
        check = CheckResult(check="load", outcome=Outcome.PASS, sentence="Loaded.", interval=(0.1, 0.2))
        ledger.apply([a_change(before, Phase.STORED, events=(an_event(),), version=3, verdict=Verdict.of((check,)))])
        after = ledger.rollout("r1")
        assert (after.phase, after.version, after.revision) == (Phase.STORED, 3, 1)
        assert after.verdict == Verdict.of((check,))
        assert [(line.sequence, line.after) for line in ledger.history("r1")] == [
            (1, Phase.RECEIVED),
            (2, Phase.STORED),
        ]
        assert ledger.history("r1")[1].facts == {"seconds": 1.5}
        assert [row.event for row in ledger.unpublished(10)] == [an_event()]

    def test_who_read_an_old_row_writes_nothing(self, ledger: Ledger) -> None:
        before = receive(ledger)
        move(ledger, before, Phase.STORED)
        with pytest.raises(Conflict):
            ledger.apply([a_change(before, Phase.REJECTED, 3, events=(an_event(),))])
        assert ledger.rollout("r1").phase is Phase.STORED
        assert not ledger.unpublished(10)

    def test_all_or_none(self, ledger: Ledger) -> None:
        first, second = receive(ledger, 1), receive(ledger, 2, customer="other")
        move(ledger, second, Phase.STORED)
        with pytest.raises(Conflict):
            ledger.apply([a_change(first, Phase.STORED), a_change(second, Phase.STORED)])
        assert ledger.rollout("r1") == first

    def test_history_keeps_one_line_per_sequence(self, ledger: Ledger) -> None:
        before = receive(ledger)
        with pytest.raises(Conflict):
            ledger.apply([a_change(before, Phase.STORED, sequence=1)])
        assert ledger.rollout("r1").phase is Phase.RECEIVED

    @pytest.mark.parametrize("phase", [Phase.CANARY, Phase.HALTED, Phase.LIVE])
    def test_a_name_has_one_rollout_between_canary_and_live(self, ledger: Ledger, phase: Phase) -> None:
        move(ledger, receive(ledger, 1), Phase.CANARY)
        with pytest.raises(Conflict):
            ledger.apply([a_change(receive(ledger, 2), phase)])
        move(ledger, receive(ledger, 3, customer="other"), Phase.CANARY)

    def test_one_may_leave_as_the_next_enters(self, ledger: Ledger) -> None:
        leaving, entering = move(ledger, receive(ledger, 1), Phase.CANARY), receive(ledger, 2)
        ledger.apply([a_change(entering, Phase.CANARY), a_change(leaving, Phase.SUPERSEDED, 3)])
        assert ledger.rollout("r2").phase is Phase.CANARY

    def test_two_writers_at_once_one_wins(self, ledger: Ledger) -> None:
        before = receive(ledger)
        results: list[str] = []

        def work() -> None:
            try:
                ledger.apply([a_change(before, Phase.STORED)])
                results.append("won")
            except Conflict:
                results.append("lost")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(results) == ["lost", "lost", "lost", "won"]

    def test_no_changes_are_no_work(self, ledger: Ledger) -> None:
        ledger.apply([])

    def test_what_no_column_can_hold_is_permanent(self, ledger: Ledger) -> None:
        if isinstance(ledger, InMemoryLedger):
            pytest.skip("memory holds any text")
        with pytest.raises(Permanent, match="NUL"):
            ledger.offboard("o1", "acme", "a\x00b", at=T0)


class TestVersions:
    def test_versions_count_per_served_name(self, ledger: Ledger) -> None:
        receive(ledger, 1)
        receive(ledger, 2)
        receive(ledger, 3, customer="other")
        assert [ledger.allocate_version(name) for name in ("r1", "r2", "r3")] == [1, 2, 1]

    def test_the_same_rollout_gets_the_same_version_again(self, ledger: Ledger) -> None:
        receive(ledger, 1)
        receive(ledger, 2)
        assert [ledger.allocate_version(name) for name in ("r1", "r2", "r1")] == [1, 2, 1]

    def test_many_at_once_get_different_versions(self, ledger: Ledger) -> None:
        for number in range(1, 9):
            receive(ledger, number)
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda name=f"r{number}": found.append(ledger.allocate_version(name)))
            for number in range(1, 9)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(found) == list(range(1, 9))


class TestLive:
    def test_nothing_is_live_before_the_first(self, ledger: Ledger) -> None:
        move(ledger, receive(ledger), Phase.STORED, Phase.VETTED, Phase.CANARY, Phase.PROMOTING)
        assert ledger.live("acme", "default") is None

    def test_the_newest_settled_answers_and_a_live_one_before_it(self, ledger: Ledger) -> None:
        move(ledger, receive(ledger, 2), Phase.LIVE, Phase.SETTLED)
        # Received earlier, promoted later: the order of promotion counts.
        second = move(ledger, receive(ledger, 1), Phase.LIVE)
        assert ledger.live("acme", "default") == second
        settled = move(ledger, second, Phase.SETTLED)
        assert ledger.live("acme", "default") == settled

    def test_after_a_rollback_the_one_before_answers(self, ledger: Ledger) -> None:
        first = move(ledger, receive(ledger, 1), Phase.LIVE, Phase.SETTLED)
        move(ledger, receive(ledger, 2), Phase.LIVE, Phase.ROLLING_BACK, Phase.ROLLED_BACK)
        assert ledger.live("acme", "default") == first

    def test_what_settled_before_its_customer_left_is_not_live_once_they_are_back(self, ledger: Ledger) -> None:
        """The first rollout after a return named a previous version whose objects were deleted."""
        sign_up(ledger)
        move(ledger, receive(ledger, 1), Phase.LIVE, Phase.SETTLED)
        ledger.offboard("o1", "acme", "left", at=T0 + timedelta(seconds=10))
        assert ledger.live("acme", "default") is None
        assert sign_up(ledger, "s2")
        row = ledger.onboarding("acme")
        assert row is not None
        assert row.left_at == T0 + timedelta(seconds=10)
        assert ledger.live("acme", "default") is None
        back = move(ledger, receive(ledger, 11), Phase.LIVE, Phase.SETTLED)
        assert ledger.live("acme", "default") == back

    def test_a_new_signup_without_leaving_keeps_what_is_live(self, ledger: Ledger) -> None:
        sign_up(ledger)
        settled = move(ledger, receive(ledger, 1), Phase.LIVE, Phase.SETTLED)
        later = T0 + timedelta(seconds=60)
        another = CustomerSignedUp(customer="acme", name="Acme Air", model="other")
        assert ledger.sign_up("s2", another, at=later, run_id="signup__s2")
        assert ledger.live("acme", "default") == settled

    def test_one_that_is_live_while_its_customer_leaves_is_still_what_answers(self, ledger: Ledger) -> None:
        sign_up(ledger)
        live = move(ledger, receive(ledger, 1), Phase.LIVE)
        ledger.offboard("o1", "acme", "left", at=T0 + timedelta(seconds=10))
        assert ledger.live("acme", "default") == live


class TestQuarantine:
    def test_in_seen_and_out(self, ledger: Ledger) -> None:
        entry = Quarantine(digest="sha256:x", customer="acme", model="default", reason="NaN", actor="ann", at=T0)
        ledger.quarantine(entry)
        ledger.quarantine(entry)
        assert ledger.quarantined("sha256:x") == entry
        assert ledger.quarantines() == [entry]
        assert ledger.release("sha256:x")
        assert not ledger.release("sha256:x")
        assert ledger.quarantined("sha256:x") is None


class TestCommands:
    COMMAND = DeployCommand(command=Command.ROLLBACK, actor="ann", reason="wrong", customer="acme")

    def test_a_command_is_accepted_once(self, ledger: Ledger) -> None:
        assert [ledger.submit("c1", self.COMMAND, at=T0) for _ in range(3)] == [True, False, False]
        [row] = ledger.open_commands(10)
        assert row.command == self.COMMAND

    def test_a_trace_is_kept_with_the_row_that_goes_on_from_it(self, ledger: Ledger) -> None:
        """Signups, rollouts and commands are handed over as rows: whoever works on them goes on in the same trace."""
        one, two, three = (f"00-{letter * 32}-{'1' * 16}-01" for letter in "abc")
        ledger.sign_up("s1", SIGNUP, at=T0, run_id="r", traceparent=one)
        ledger.receive(a_rollout(traceparent=two), event_id="m1", events=[])
        move(ledger, a_rollout(traceparent=two), Phase.STORED)
        ledger.submit("c1", self.COMMAND, at=T0, traceparent=three)
        [row] = ledger.due_onboardings(now=T0, limit=5, lease_seconds=10)
        [rollout] = ledger.rollouts(RolloutQuery(customer="acme"))
        assert (row.traceparent, rollout.traceparent) == (one, two)
        assert [row.traceparent for row in ledger.open_commands(10)] == [three]
        stand(ledger, OnboardingStage.REFUSED)
        ledger.sign_up("s2", SIGNUP, at=T0, run_id="r2")
        assert [row.traceparent for row in ledger.customers()] == [None]

    def test_a_closed_command_keeps_its_first_outcome(self, ledger: Ledger) -> None:
        ledger.submit("c1", self.COMMAND, at=T0)
        ledger.close_command("c1", outcome="rolled back", at=T0, events=[an_event("e1")])
        ledger.close_command("c1", outcome="again", at=T0, events=[an_event("e2")])
        assert not ledger.open_commands(10)
        assert [row.outcome for row in ledger.commands(10)] == ["rolled back"]
        [row] = ledger.unpublished(10)
        assert (row.event.id, ledger.pending_events()) == ("e1", 1)
        ledger.mark_published([row.sequence])
        assert ledger.pending_events() == 0

    def test_a_command_is_closed_with_its_transitions_or_not_at_all(self, ledger: Ledger) -> None:
        before = receive(ledger)
        ledger.submit("c1", self.COMMAND, at=T0)
        stale = a_change(before.model_copy(update={"revision": 7}), Phase.CANCELLED)
        with pytest.raises(Conflict):
            ledger.close_command("c1", outcome="no", at=T0, events=[an_event()], changes=[stale])
        assert (len(ledger.open_commands(10)), len(ledger.unpublished(10))) == (1, 0)
        change = a_change(before, Phase.CANCELLED, events=(an_event("moved"),))
        assert ledger.close_command("c1", outcome="yes", at=T0, events=[an_event("told")], changes=[change])
        assert ledger.rollout(before.id).phase is Phase.CANCELLED
        assert [row.event.id for row in ledger.unpublished(10)] == ["moved", "told"]

    def test_a_closed_command_writes_no_transitions(self, ledger: Ledger) -> None:
        before = receive(ledger)
        ledger.submit("c1", self.COMMAND, at=T0)
        assert ledger.close_command("c1", outcome="first", at=T0, events=[])
        change = a_change(before, Phase.CANCELLED)
        assert not ledger.close_command("c1", outcome="again", at=T0, events=[], changes=[change])
        assert ledger.rollout(before.id).phase is Phase.RECEIVED

    def test_open_oldest_first_audit_newest_first(self, ledger: Ledger) -> None:
        for number in range(3):
            ledger.submit(f"c{number}", self.COMMAND, at=T0)
        assert [row.event_id for row in ledger.open_commands(2)] == ["c0", "c1"]
        assert [row.event_id for row in ledger.commands(2)] == ["c2", "c1"]

    def test_closing_what_is_unknown_is_an_error(self, ledger: Ledger) -> None:
        with pytest.raises(NotFound):
            ledger.close_command("nope", outcome="", at=T0, events=[])

    def test_the_newest_freeze_of_a_scope_stands_until_thawed(self, ledger: Ledger) -> None:
        for reason in ("first", "second"):
            ledger.freeze(Freeze(scope="fleet", reason=reason, actor="ann", at=T0))
        assert [entry.reason for entry in ledger.freezes()] == ["second"]
        assert ledger.thaw("fleet")
        assert not ledger.thaw("fleet")
        assert not ledger.freezes()

    def test_the_fleet_and_a_customer_called_so_are_two_scopes(self, ledger: Ledger) -> None:
        """Freezing that customer froze everybody, and thawing everybody let that customer go."""
        scopes = [
            HeldScope(scope=one, paused=held) for one in (Scope(), Scope(customer="fleet")) for held in (False, True)
        ]
        for scope in scopes:
            ledger.freeze(Freeze(scope=scope.stored, reason=scope.scope.words, actor="ann", at=T0))
        assert [read(entry.scope).scope.words for entry in ledger.freezes()] == [
            entry.reason for entry in ledger.freezes()
        ]
        assert len(ledger.freezes()) == len(scopes)
        assert ledger.thaw(scopes[0].stored)
        assert {read(entry.scope) for entry in ledger.freezes()} == set(scopes[1:])


class TestOutbox:
    def test_events_leave_in_order_and_once(self, ledger: Ledger) -> None:
        ledger.add_events([an_event("a"), an_event("b")])
        ledger.add_events([an_event("b"), an_event("c")])
        rows = ledger.unpublished(10)
        assert [row.event.id for row in rows] == ["a", "b", "c"]
        ledger.mark_published([rows[0].sequence, rows[1].sequence])
        assert [row.event.id for row in ledger.unpublished(10)] == ["c"]

    def test_recent_events_are_the_newest_oldest_first(self, ledger: Ledger) -> None:
        ledger.add_events([an_event(name) for name in "abcd"])
        rows = ledger.recent_events(limit=2)
        assert [row.event.id for row in rows] == ["c", "d"]
        assert [row.event.id for row in ledger.recent_events(limit=9, after=rows[0].sequence)] == ["d"]

    def test_order_of_sequence_is_order_of_commit(self, ledger: Ledger) -> None:
        """A reader that has seen sequence n must never later meet a smaller one: the relay would lose it."""
        seen: list[int] = []
        done = threading.Event()

        def write(name: str) -> None:
            for number in range(20):
                ledger.add_events([an_event(f"{name}{number}")])

        def read() -> None:
            while not done.is_set():
                after = seen[-1] if seen else 0
                seen.extend(row.sequence for row in ledger.recent_events(limit=1000, after=after))

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join(60)
        done.set()
        reader.join(60)
        last = ledger.recent_events(limit=1000, after=seen[-1] if seen else 0)
        assert len(seen) + len(last) == 80


class TestHousekeeping:
    COMMAND = DeployCommand(command=Command.FREEZE, actor="ann", reason="night")
    LATER = T0 + timedelta(days=40)

    def test_an_event_that_was_taken_in_is_forgotten_once_it_is_old(self, ledger: Ledger, clock: ManualClock) -> None:
        sign_up(ledger)
        receive(ledger)
        clock.advance(60)
        sign_up(ledger, "s2", CustomerSignedUp(customer="zeta"))
        assert ledger.prune(Settled.INBOX, before=T0, limit=10) == 0
        assert ledger.prune(Settled.INBOX, before=T0 + timedelta(seconds=60), limit=10) == 2
        assert not sign_up(ledger, "s2", CustomerSignedUp(customer="zeta", model="fraud"))
        assert ledger.prune(Settled.INBOX, before=self.LATER, limit=10) == 1
        # Rows stay, and what is there already stays so.
        assert [row.event_id for row in ledger.customers()] == ["s1", "s2"]
        assert not ledger.receive(a_rollout(), event_id="ready-1", events=[])

    def test_only_events_that_kafka_has_are_forgotten(self, ledger: Ledger) -> None:
        ledger.add_events([an_event("e1"), an_event("e2")])
        first, second = ledger.unpublished(10)
        ledger.mark_published([first.sequence])
        assert ledger.prune(Settled.OUTBOX, before=T0, limit=10) == 0
        assert ledger.prune(Settled.OUTBOX, before=self.LATER, limit=10) == 1
        assert ledger.unpublished(10) == ledger.recent_events(limit=10) == [second]
        ledger.add_events([an_event("e3")])
        assert [row.sequence > second.sequence for row in ledger.recent_events(limit=10)] == [False, True]

    def test_only_commands_that_are_done_are_forgotten(self, ledger: Ledger) -> None:
        for name in ("c1", "c2"):
            ledger.submit(name, self.COMMAND, at=T0)
        ledger.close_command("c1", outcome="frozen", at=T0, events=[])
        assert ledger.prune(Settled.COMMANDS, before=T0, limit=10) == 0
        assert ledger.prune(Settled.COMMANDS, before=self.LATER, limit=10) == 1
        assert [row.event_id for row in ledger.commands(10)] == ["c2"]

    def test_no_more_than_asked_at_a_time(self, ledger: Ledger) -> None:
        for number in range(5):
            sign_up(ledger, f"s{number}", CustomerSignedUp(customer=f"c{number}"))
        assert [ledger.prune(Settled.INBOX, before=self.LATER, limit=3) for _ in range(3)] == [3, 2, 0]


class TestLeases:
    def test_one_holder_at_a_time(self, ledger: Ledger, clock: ManualClock) -> None:
        assert ledger.acquire("promoter", owner="a", seconds=10)
        assert ledger.acquire("promoter", owner="a", seconds=10)
        assert not ledger.acquire("promoter", owner="b", seconds=10)
        clock.advance(10)
        assert ledger.acquire("promoter", owner="b", seconds=10)

    def test_only_the_holder_drops_it(self, ledger: Ledger) -> None:
        ledger.acquire("promoter", owner="a", seconds=10)
        ledger.drop("promoter", owner="b")
        assert not ledger.acquire("promoter", owner="b", seconds=10)
        ledger.drop("promoter", owner="a")
        assert ledger.acquire("promoter", owner="b", seconds=10)
