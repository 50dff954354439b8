"""Onboarding rows to Airflow runs."""

from __future__ import annotations

import threading

import pytest

from consumers.models import received
from consumers.onboarding import RETIRE_DAG, TRAIN_DAG, Worker
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts.events import CustomerSignedUp, OperationReported
from roost.ports.ledger import Onboarding, OnboardingStage
from tests.unit.consumers.conftest import PLACE, T0, World
from tests.unit.consumers.test_models import ready


@pytest.fixture
def workflow() -> InMemoryWorkflow:
    return InMemoryWorkflow()


@pytest.fixture
def worker(world: World, workflow: InMemoryWorkflow) -> Worker:
    return Worker(ledger=world.ledger, workflow=workflow, clock=world.clock, max_in_flight=2)


def sign_up(world: World, customer: str = "acme") -> None:
    payload = CustomerSignedUp(customer=customer, name=customer.title())
    world.ledger.sign_up(f"crm {customer}", payload, at=T0, run_id=f"signup__{customer}__1")


def row(world: World, customer: str = "acme") -> Onboarding:
    found = world.ledger.onboarding(customer)
    assert found is not None
    return found


def test_a_signup_starts_its_run_with_the_params_of_the_dag(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    assert worker.step() == 1
    run = workflow.runs[(TRAIN_DAG, "signup__acme__1")]
    assert run.conf == {"customer_id": "acme", "model": "default", "reason": "signup"}
    assert row(world).stage is OnboardingStage.TRAINING
    # It is looked at again, and not at once.
    assert worker.step() == 0


def test_never_more_at_a_time_than_allowed(world: World, worker: Worker) -> None:
    for number in range(5):
        sign_up(world, f"c{number}")
    assert [worker.step() for _ in range(4)] == [2, 2, 1, 0]


def test_while_airflow_is_away_nothing_is_lost_and_pauses_grow(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    workflow.reachable = False
    for _ in range(20):
        worker.step()
        world.clock.advance(61)
    assert (row(world).stage, row(world).attempts) == (OnboardingStage.SIGNED_UP, 20)
    assert "does not answer" in (row(world).error or "")
    workflow.reachable = True
    worker.step()
    assert (row(world).stage, row(world).error) == (OnboardingStage.TRAINING, None)


def test_a_row_is_not_tried_again_before_its_time(world: World, worker: Worker, workflow: InMemoryWorkflow) -> None:
    sign_up(world)
    workflow.reachable = False
    assert [worker.step(), worker.step()] == [1, 0]


def test_what_airflow_refuses_for_good_is_told_once(world: World, worker: Worker, workflow: InMemoryWorkflow) -> None:
    sign_up(world)
    workflow.refuses[TRAIN_DAG] = "model: not one of the choices"
    worker.step()
    assert row(world).stage is OnboardingStage.REFUSED
    assert "not one of the choices" in (row(world).error or "")
    [report] = told(world)
    assert (report.what, report.customer) == ("customer.onboarding.refused", "acme")


def test_a_run_of_that_id_with_another_conf_is_refused_and_told(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    workflow.start(TRAIN_DAG, "signup__acme__1", {"customer_id": "somebody-else"}, note="")
    sign_up(world)
    worker.step()
    assert row(world).stage is OnboardingStage.REFUSED


def test_a_run_that_was_started_before_a_crash_is_found_again(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    conf = {"customer_id": "acme", "model": "default", "reason": "signup"}
    workflow.start(TRAIN_DAG, "signup__acme__1", conf, note="")
    worker.step()
    assert (row(world).stage, len(workflow.runs)) == (OnboardingStage.TRAINING, 1)


def told(world: World) -> list[OperationReported]:
    found = [row.event.data for row in world.ledger.unpublished(99)]
    return [data for data in found if isinstance(data, OperationReported)]


def test_a_run_is_looked_at_ever_more_seldom_until_it_succeeds(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    worker.step()
    looks = 0
    for _ in range(3600):
        world.clock.advance(1)
        looks += worker.step()
    assert 60 < looks < 90
    assert row(world).stage is OnboardingStage.TRAINING
    workflow.finish(TRAIN_DAG, "signup__acme__1", "success")
    world.clock.advance(60)
    worker.step()
    assert (row(world).stage, row(world).error, told(world)) == (OnboardingStage.TRAINED, None, [])
    world.clock.advance(3600)
    assert worker.step() == 0


def test_a_run_that_fails_is_told_once_with_task_reason_and_what_to_do(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    worker.step()
    workflow.fail(TRAIN_DAG, "signup__acme__1", "train_and_stage", "acme has 3 rows, and 500 are needed.")
    failed = row(world)
    for _ in range(3):
        world.clock.advance(60)
        worker.step()
        # As after a crash between the report and the row.
        world.ledger.follow_run("acme", "default", failed.airflow_run_id)
    assert worker.step() == 1
    assert row(world).stage is OnboardingStage.FAILED
    assert row(world).error == "task train_and_stage failed: acme has 3 rows, and 500 are needed."
    [report] = told(world)
    assert (report.what, report.customer) == ("customer.training.failed", "acme")
    assert report.reason == (
        "Training run signup__acme__1 of acme failed: task train_and_stage failed: acme has 3 rows, and 500 are "
        'needed. Mend the cause, then `roost train acme --reason "…"`.'
    )
    assert report.facts["url"] == "memory://train_customer_model/signup__acme__1"


def test_each_run_that_fails_is_told(world: World, worker: Worker, workflow: InMemoryWorkflow) -> None:
    sign_up(world)
    worker.step()
    workflow.fail(TRAIN_DAG, "signup__acme__1", "prepare")
    world.clock.advance(60)
    worker.step()
    workflow.start(TRAIN_DAG, "manual__1", {}, note="")
    world.ledger.follow_run("acme", "default", "manual__1")
    assert worker.step() == 1
    assert row(world).stage is OnboardingStage.TRAINING
    workflow.finish(TRAIN_DAG, "manual__1", "failed")
    world.clock.advance(60)
    worker.step()
    assert [report.facts["run_id"] for report in told(world)] == ["signup__acme__1", "manual__1"]
    assert "left no reason" in told(world)[0].reason
    assert "no task of it failed" in told(world)[1].reason


def test_while_airflow_is_away_a_run_is_neither_failed_nor_done(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    worker.step()
    workflow.reachable = False
    for _ in range(5):
        world.clock.advance(61)
        worker.step()
    assert row(world).stage is OnboardingStage.TRAINING
    assert "does not answer" in (row(world).error or "")
    workflow.reachable = True
    workflow.finish(TRAIN_DAG, "signup__acme__1", "success")
    world.clock.advance(61)
    worker.step()
    assert (row(world).stage, row(world).error) == (OnboardingStage.TRAINED, None)


def test_a_run_that_airflow_forgot_counts_by_what_it_brought(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    for customer in ("acme", "zeta"):
        sign_up(world, customer)
    worker.step()
    announced = ready(run_id="signup__acme__1", artifact_uri="gs://roost/staging/acme/default/signup__acme__1/")
    rollout = received(announced, PLACE, world.clock)
    world.ledger.receive(rollout, event_id="r", events=[])
    workflow.runs.clear()
    world.clock.advance(60)
    worker.step()
    assert row(world).stage is OnboardingStage.TRAINED
    assert row(world, "zeta").stage is OnboardingStage.FAILED
    assert "no such run" in told(world)[0].reason


def test_the_runs_note_says_why_and_where_its_rollout_is(world: World, workflow: InMemoryWorkflow) -> None:
    sign_up(world)
    Worker(ledger=world.ledger, workflow=workflow, clock=world.clock, console_url="http://console").step()
    note = workflow.notes[(TRAIN_DAG, "signup__acme__1")]
    assert note == "Acme signed up.\n\n[Its rollout](http://console/rollouts?run_id=signup__acme__1)"


def test_who_leaves_is_gone_when_the_retirement_has_succeeded(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    worker.step()
    world.ledger.offboard("crm left", "acme", "moved", at=world.clock.now())
    worker.step()
    [(dag, run_id)] = [key for key in workflow.runs if key[0] == RETIRE_DAG]
    assert workflow.runs[(dag, run_id)].conf == {"customer_id": "acme", "reason": "moved"}
    assert row(world).stage is OnboardingStage.LEAVING
    workflow.finish(dag, run_id, "success")
    world.clock.advance(10)
    worker.step()
    assert row(world).stage is OnboardingStage.GONE
    assert [report.what for report in told(world)] == ["customer.gone"]


def test_who_leaves_goes_on_leaving_while_airflow_refuses_the_retirement(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    world.ledger.offboard("crm left", "acme", "moved", at=world.clock.now())
    workflow.refuses[RETIRE_DAG] = "the DAG's params changed"
    worker.step()
    assert (row(world).stage, row(world).attempts) == (OnboardingStage.LEAVING, 1)
    assert "params changed" in (row(world).error or "")
    del workflow.refuses[RETIRE_DAG]
    world.clock.advance(60)
    worker.step()
    [(dag, _)] = workflow.runs
    assert dag == RETIRE_DAG


def test_a_retirement_that_failed_is_shown_and_looked_at_again(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    sign_up(world)
    world.ledger.offboard("crm left", "acme", "moved", at=world.clock.now())
    worker.step()
    [(dag, run_id)] = workflow.runs
    workflow.finish(dag, run_id, "failed")
    world.clock.advance(10)
    worker.step()
    assert "clear it in Airflow" in (row(world).error or "")
    workflow.finish(dag, run_id, "success")
    world.clock.advance(60)
    worker.step()
    assert row(world).stage is OnboardingStage.GONE


def test_the_worker_starts_what_comes_while_it_waits_and_ends_when_told(world: World, worker: Worker) -> None:
    stop, trouble = threading.Event(), {}
    thread = threading.Thread(target=worker.run, args=(world.ledger.wakeups, stop, trouble))
    thread.start()
    sign_up(world)
    done = threading.Event()
    while not done.wait(0.01):
        if row(world).stage is OnboardingStage.TRAINING:
            done.set()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert trouble == {"onboarding": None}


def test_a_run_or_retirement_that_takes_long_is_looked_at_ever_more_seldom(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    """Five hundred customers who leave at once would ask Airflow a hundred times a second until the last is gone."""
    sign_up(world)
    worker.step()
    for _ in range(2):
        looks = []
        for second in range(600):
            looks += [second] if worker.step() else []
            world.clock.advance(1)
        assert looks[1] - looks[0] <= 7
        assert looks[-1] - looks[-2] == 60
        world.ledger.offboard("crm leaves", "acme", "", at=world.clock.now())


def test_a_run_whose_second_attempt_staged_the_model_and_that_airflow_forgot_is_trained(
    world: World, worker: Worker, workflow: InMemoryWorkflow
) -> None:
    """Its rollout has the attempt's id, `~2`: looked for by the run's own, the customer counted as failed."""
    sign_up(world)
    worker.step()
    attempt = "signup__acme__1~2"
    announced = ready(run_id=attempt, artifact_uri=f"gs://roost/staging/acme/default/{attempt}/")
    world.ledger.receive(received(announced, PLACE, world.clock), event_id="ready 1", events=[])
    workflow.runs.clear()
    world.clock.advance(60)
    worker.step()
    assert row(world).stage is OnboardingStage.TRAINED
