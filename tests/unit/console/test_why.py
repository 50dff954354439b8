"""`why` says in plain words where a customer's model stands, and what to do next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from deployer.console.fleet import FleetReader
from deployer.console.reader import Reader
from deployer.console.why.answer import StepState, WhyAnswer
from deployer.console.why.evidence import UnknownCustomer, collect
from deployer.console.why.explain import explain
from deployer.rollout.possible import Possible
from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.events import CustomerSignedUp
from roost.contracts.rollout import Phase
from roost.ports.ledger import Freeze, OnboardingStage, Quarantine, RolloutQuery
from tests.console import seed
from tests.console.world import World


@pytest.fixture(name="world")
def _world() -> World:
    return seed.build(ManualClock())


def why(world: World, customer: str, model: str = "default") -> WhyAnswer:
    sources = world.sources
    possible = Possible(sources.ledger, sources.desired.has)
    return explain(collect(sources, FleetReader(sources), possible, customer, model))


def state(answer: WhyAnswer, key: str) -> StepState:
    return next(step.state for step in answer.steps if step.key == key)


def sentence(answer: WhyAnswer, key: str) -> str:
    return next(step.sentence for step in answer.steps if step.key == key)


def test_a_live_model_is_done_at_every_step_and_on_every_replica(world: World):
    answer = why(world, "ua")
    assert {step.state for step in answer.steps} == {StepState.DONE}
    assert [step.key for step in answer.steps] == [
        "event", "run", "artifact", "canary", "approval", "generation", "replicas",
        "replica:default-1", "replica:default-2", "replica:default-3",
    ]  # fmt: skip
    assert answer.serving
    assert answer.version == 2
    assert answer.sentence == "Version 2 of ua.default answers on 3 of 3 replicas."
    assert answer.next.sentence == "Nothing to do."


def test_a_dead_replica_is_named_and_comes_first_in_the_advice(world: World):
    world.pool.faults("default-2").down = True
    answer = why(world, "ua")
    assert not answer.serving
    assert state(answer, "replica:default-2") is StepState.FAILED
    assert "2 of 3 replicas" in answer.sentence
    assert answer.next.sentence == "See to default-2 first: the others answer meanwhile."
    assert answer.next.runbook == "docs/runbooks/node-behind.md"
    for other in ("default-1", "default-3"):
        world.pool.faults(other).down = True
    assert "no replica answers with what it should" in why(world, "ua").next.sentence


def test_a_dead_replica_does_not_hide_why_a_model_was_never_served(world: World):
    world.pool.faults("default-2").down = True
    answer = why(world, "dl")
    assert state(answer, "replica:default-2") is StepState.UNKNOWN
    assert answer.next.runbook == "docs/runbooks/rejected-artifact.md"


def test_a_refused_canary_says_which_check_refused_it_and_what_follows_was_not_reached(world: World):
    answer = why(world, "dl")
    assert state(answer, "canary") is StepState.FAILED
    assert "128 of 128 answers are NaN" in sentence(answer, "canary")
    assert state(answer, "approval") is StepState.SKIPPED
    assert state(answer, "generation") is StepState.SKIPPED
    assert not answer.serving
    assert answer.next.command == 'roost train dl --reason "…"'


def test_an_artifact_that_was_refused_before_the_canary_fails_at_the_artifact(world: World):
    answer = why(world, "aa")
    assert state(answer, "artifact") is StepState.FAILED
    assert "vocab.txt" in sentence(answer, "artifact")
    assert state(answer, "canary") is StepState.SKIPPED


def test_a_rollback_says_that_the_version_before_answers_and_the_digest_stays_refused(world: World):
    answer = why(world, "ev")
    assert answer.serving
    assert answer.version == 1
    assert state(answer, "generation") is StepState.FAILED
    assert "ROLLED_BACK" in answer.sentence
    assert "stays refused" in answer.next.sentence


def test_a_rollout_that_waits_for_a_person_names_the_command(world: World):
    answer = why(world, "9e")
    assert state(answer, "approval") is StepState.WAITING
    assert state(answer, "canary") is StepState.DONE
    assert answer.next.command == 'roost approve 9e --reason "…"'


def test_a_freeze_is_named_with_its_reason_and_the_advice_is_to_thaw(world: World):
    world.ledger.freeze(Freeze(scope="fleet", reason="change night", actor="ann", at=world.clock.now()))
    answer = why(world, "9e")
    assert sentence(answer, "approval") == "Frozen by ann (the whole fleet): change night"
    assert answer.next.command == 'roost thaw --reason "…"'


def test_a_pause_holds_what_is_before_the_canary_and_is_named(world: World):
    world.ledger.freeze(Freeze(scope="paused:fl", reason="bad data", actor="ann", at=world.clock.now()))
    answer = why(world, "fl")
    assert state(answer, "artifact") is StepState.WAITING
    assert sentence(answer, "artifact") == "Paused by ann: bad data"
    assert answer.next.command == 'roost resume fl --reason "…"'


def test_a_rollout_on_the_canary_node_is_running_there(world: World):
    answer = why(world, "wn")
    assert state(answer, "canary") is StepState.RUNNING
    assert state(answer, "generation") is StepState.WAITING


def test_a_halted_rollout_asks_for_retry(world: World):
    answer = why(world, "vx")
    assert state(answer, "generation") is StepState.FAILED
    assert answer.next.command == 'roost retry vx --reason "…"'


@pytest.mark.parametrize(("customer", "command"), [("vx", "rollback"), ("9e", "reject")])
def test_what_the_deployer_would_refuse_is_not_advised(world: World, customer: str, command: str):
    newest = world.ledger.rollouts(RolloutQuery(customer=customer, limit=1))[0]
    refused = Quarantine(
        digest=newest.digest, customer=customer, model="default", reason="x", actor="ann", at=newest.entered_at
    )
    world.ledger.quarantine(refused)
    assert why(world, customer).next.command == f'roost {command} {customer} --reason "…"'


def test_a_phase_past_its_deadline_points_to_the_deployer(world: World):
    world.clock.advance(3600)  # type: ignore[attr-defined]  # the fixture's clock is manual
    answer = why(world, "wn")
    assert "deadline has passed" in answer.next.sentence
    assert answer.next.command == "roost status"


def test_a_cohort_model_is_called_one(world: World):
    assert "cohort model" in sentence(why(world, "oo"), "run")


def test_before_the_first_rollout_the_run_is_what_is_waited_for(world: World):
    answer = why(world, "as")
    assert state(answer, "event") is StepState.DONE
    assert state(answer, "run") is StepState.RUNNING
    assert state(answer, "artifact") is StepState.WAITING
    assert answer.rollout_id is None


@pytest.mark.parametrize(
    ("run_state", "expected", "advice"),
    [
        ("failed", StepState.FAILED, 'roost train as --reason "…"'),
        ("success", StepState.DONE, "roost status"),
        ("queued", StepState.RUNNING, None),
    ],
)
def test_the_run_is_told_as_airflow_tells_it(world: World, run_state: str, expected: StepState, advice: str | None):
    world.workflow.finish("train_customer_model", "signup-as", run_state)
    answer = why(world, "as")
    assert state(answer, "run") is expected
    assert answer.next.command == advice


def test_airflow_being_down_is_said_and_nothing_else_is_lost(world: World):
    world.workflow.reachable = False
    answer = why(world, "as")
    assert state(answer, "run") is StepState.UNKNOWN
    assert "does not answer" in sentence(answer, "run")
    assert answer.next.runbook == "docs/runbooks/airflow-down.md"
    assert why(world, "ua").serving


def test_a_run_that_airflow_refused_carries_airflows_words():
    world = World.empty(ManualClock())
    world.sign_up("ua", 0, OnboardingStage.REFUSED, error="unknown model kind")
    answer = why(world, "ua")
    assert state(answer, "run") is StepState.FAILED
    assert "unknown model kind" in sentence(answer, "run")


def test_a_run_that_failed_is_told_with_its_reason():
    world = World.empty(ManualClock())
    world.sign_up("ua", 0, OnboardingStage.FAILED, error="task train_and_stage failed: ua has 3 rows")
    answer = why(world, "ua")
    assert state(answer, "run") is StepState.FAILED
    assert "ua has 3 rows" in sentence(answer, "run")
    assert (answer.next.command or "").startswith("roost train ua")


def test_a_later_run_that_failed_is_told_beside_what_answers(world: World):
    row = world.ledger.onboarding("ua")
    assert row is not None
    world.ledger.follow_run("ua", "default", "manual__2")
    row = world.ledger.onboarding("ua")
    assert row is not None
    world.ledger.set_onboarding(replace(row, stage=OnboardingStage.FAILED, error="task prepare failed: no data"))
    answer = why(world, "ua")
    assert answer.serving
    assert "Since then run manual__2 failed: task prepare failed: no data" in sentence(answer, "run")
    assert (answer.next.command or "").startswith("roost train ua")


def test_a_run_that_failed_after_it_announced_its_model_is_not_told_as_a_later_one(world: World):
    """It said that the run had staged a model, and "since then" the very same run had failed."""
    [live] = world.ledger.rollouts(RolloutQuery(customer="ua", limit=1))
    world.ledger.follow_run("ua", "default", live.run_id)
    row = world.ledger.onboarding("ua")
    assert row is not None
    world.ledger.set_onboarding(replace(row, stage=OnboardingStage.FAILED, error="task publish failed"))
    answer = why(world, "ua")
    assert "Since then" not in sentence(answer, "run")
    assert answer.next.command is None


def test_a_signup_that_airflow_has_not_taken_yet_waits_with_its_attempts():
    world = World.empty(ManualClock())
    world.sign_up("ua", 0, OnboardingStage.SIGNED_UP, error="connection refused", attempts=3)
    answer = why(world, "ua")
    assert state(answer, "run") is StepState.WAITING
    assert "3 attempts" in sentence(answer, "run")
    assert "connection refused" in sentence(answer, "run")
    # "Nothing: it goes on by itself" stood there while Airflow was down.
    assert answer.next.runbook == "docs/runbooks/airflow-down.md"
    world = World.empty(ManualClock())
    world.sign_up("ua", 0, OnboardingStage.SIGNED_UP, error="connection refused", attempts=1)
    assert "1 attempt so far" in sentence(why(world, "ua"), "run")


def test_a_model_without_a_signup_is_explained_all_the_same():
    world = World.empty(ManualClock())
    world.promote(world.canary(world.vetted(world.receive("zz", 0))))
    answer = why(world, "zz")
    assert state(answer, "event") is StepState.SKIPPED
    assert answer.serving


def test_a_customer_who_is_leaving_needs_nothing(world: World):
    world.ledger.offboard("bye", "ua", "contract ended", at=world.clock.now())
    answer = why(world, "ua")
    assert "has left" in sentence(answer, "event")
    assert "has left" in answer.next.sentence


def test_a_retirement_that_failed_is_told(world: World):
    row = world.ledger.onboarding("ua")
    assert row is not None
    world.ledger.set_onboarding(replace(row, stage=OnboardingStage.LEAVING, error="retirement r1 failed: clear it"))
    assert "retirement r1 failed: clear it" in why(world, "ua").next.sentence


def test_who_came_back_is_explained_by_the_new_run_and_not_by_what_was_before(world: World):
    rollout = world.ledger.rollouts(RolloutQuery(customer="ua", limit=1))[0]
    world.move(rollout, Phase.ROLLED_BACK, 1, "The customer left.")
    world.ledger.offboard("left", "ua", "moved", at=world.clock.now())
    payload = CustomerSignedUp(customer="ua")
    world.ledger.sign_up("back", payload, at=world.clock.now(), run_id="signup-ua-again")
    row = world.ledger.onboarding("ua")
    assert row is not None
    world.ledger.set_onboarding(replace(row, stage=OnboardingStage.TRAINING))
    world.ran("signup-ua-again", "failed")
    answer = why(world, "ua")
    assert state(answer, "run") is StepState.FAILED
    assert "signup-ua-again failed" in sentence(answer, "run")
    assert (answer.next.command or "").startswith("roost train ua")


def test_a_desired_state_that_cannot_be_read_is_said_and_the_ledger_decides(world: World):
    world.store.outage = "the store is away"
    answer = why(world, "ua")
    assert answer.version == 2
    dl = why(world, "dl")
    assert state(dl, "replicas") is StepState.UNKNOWN
    assert "the store is away" in sentence(dl, "replicas")


def test_a_directory_that_cannot_be_read_leaves_the_replicas_unknown(world: World):
    world.pools.lost = "nodes.json is gone"
    answer = why(world, "ua")
    assert state(answer, "replicas") is StepState.UNKNOWN
    assert "nodes.json is gone" in sentence(answer, "replicas")


def test_a_node_that_cannot_load_the_version_says_so_and_what_it_answers_with(world: World):
    first = world.ledger.rollouts(RolloutQuery(customer="b6", limit=1))[0]
    world.move(first, Phase.SETTLED, 600, "bake over")
    world.pool.fail_load("b6.default", 2, "out of memory", node="default-3")
    newer = world.canary(world.vetted(world.receive("b6", 2400, "retrain-b6")))
    world.promote(newer)
    answer = why(world, "b6")
    assert state(answer, "replica:default-3") is StepState.FAILED
    said = "default-3 could not load version 2 and still answers with version 1: out of memory"
    assert sentence(answer, "replica:default-3") == said


def test_a_customer_nobody_heard_of_is_an_error_that_names_them(world: World):
    with pytest.raises(UnknownCustomer, match="zz"):
        why(world, "zz")


def test_a_model_that_the_customer_does_not_have_is_an_error(world: World):
    with pytest.raises(UnknownCustomer, match="second"):
        why(world, "ua", "second")


def test_every_phase_is_explained_with_whole_sentences(world: World):
    phases = {row.phase for row in world.ledger.rollouts(RolloutQuery(limit=100))}
    assert phases >= {Phase.RECEIVED, Phase.CANARY, Phase.AWAITING_APPROVAL, Phase.LIVE, Phase.HALTED, Phase.REJECTED}
    for row in world.ledger.customers():
        answer = why(world, row.customer)
        assert answer.sentence
        assert all(step.sentence and "None" not in step.sentence for step in answer.steps), row.customer


def test_seconds_between_steps_are_those_of_the_history(world: World):
    seconds = {step.key: step.seconds for step in why(world, "ua").steps}
    assert seconds["artifact"] == pytest.approx(0.27, abs=timedelta(milliseconds=1).total_seconds())
    assert seconds["canary"] == pytest.approx(0.82, abs=0.001)
    assert seconds["generation"] == pytest.approx(0.46, abs=0.001)


def test_the_trace_of_the_way_is_named_and_linked_from_the_signup_on(world: World):
    told = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    reader = Reader(replace(world.sources, trace_page="https://traces.example/t/{trace_id}"))
    now, page = world.sources.clock.now(), "https://traces.example/t/" + "a" * 32
    world.ledger.sign_up("s9", CustomerSignedUp(customer="new-one"), at=now, run_id="r9", traceparent=told)
    answer = reader.why("new-one", "default")
    assert (answer.trace_id, answer.trace_page) == ("a" * 32, page)
    other = world.ledger.rollouts(RolloutQuery(customer="ua"))[0]
    fresh = {"id": "r9", "customer": "new-one", "digest": "sha256:" + "9" * 64, "phase": Phase.RECEIVED, "revision": 0}
    rollout = other.model_copy(update=fresh | {"version": 0, "traceparent": told, "received_at": now})
    world.ledger.receive(rollout, event_id="m9", events=[])
    detail = reader.rollout("r9")
    assert (detail.rollout.trace_id, detail.trace_page) == ("a" * 32, page)
    assert reader.why("new-one", "default").trace_id == "a" * 32
    unknown = reader.rollout(other.id)
    assert (unknown.rollout.trace_id, unknown.trace_page) == (None, None)
