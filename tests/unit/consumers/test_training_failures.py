"""Failed training runs that nobody follows."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from consumers.onboarding import Worker
from consumers.training_failures import TRAIN_DAG, Watch
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts.errors import WorkflowUnavailable
from roost.contracts.events import CustomerSignedUp, OperationReported
from roost.ports.workflow import TaskFailure
from tests.unit.consumers.conftest import T0, World


@pytest.fixture
def workflow(world: World) -> InMemoryWorkflow:
    return InMemoryWorkflow(world.clock)


@pytest.fixture
def watch(world: World, workflow: InMemoryWorkflow) -> Watch:
    return Watch(ledger=world.ledger, workflow=workflow, clock=world.clock)


def fail(workflow: InMemoryWorkflow, run: str, said: str = "", **conf: object) -> None:
    workflow.start(TRAIN_DAG, run, conf, note="")
    workflow.fail(TRAIN_DAG, run, "train_and_stage", said)


def told(world: World) -> list[OperationReported]:
    return [row.event.data for row in world.ledger.unpublished(999) if isinstance(row.event.data, OperationReported)]


def test_a_nightly_retraining_that_fails_is_told_once(world: World, watch: Watch, workflow: InMemoryWorkflow) -> None:
    fail(workflow, "retrain__ua__w1", "ua has 3 rows.", customer_id="ua", model="default", reason="scheduled")
    fail(workflow, "manual__x", customer_id="../x")
    assert [watch.step(), watch.step()] == [2, 0]
    assert Watch(ledger=world.ledger, workflow=workflow, clock=world.clock).step() == 2
    first, second = told(world)
    assert (first.what, first.customer) == ("customer.training.failed", "ua")
    assert first.reason == (
        "Training run retrain__ua__w1 of ua failed: task train_and_stage failed: ua has 3 rows. "
        'Mend the cause, then `roost train ua --reason "…"`.'
    )
    assert first.facts["asked"] == "scheduled"
    assert (second.customer, "roost train CUSTOMER" in second.reason) == (None, True)


def test_a_run_whose_tasks_cannot_be_asked_does_not_keep_later_ones_from_being_told(world: World) -> None:
    """Every look ended at the same run, for ever."""

    class Odd(InMemoryWorkflow):
        def failures(self, dag: str, run_id: str) -> Sequence[TaskFailure]:
            if run_id == "odd":
                raise WorkflowUnavailable("Airflow answers 500")
            return super().failures(dag, run_id)

    workflow = Odd(world.clock)
    watch = Watch(ledger=world.ledger, workflow=workflow, clock=world.clock)
    for run in ("odd", "plain"):
        fail(workflow, run, customer_id="ua")
        world.clock.advance(1)
    for _ in range(2):
        with pytest.raises(WorkflowUnavailable):
            watch.step()
    assert watch.step() == 2
    first, second = told(world)
    assert "its tasks cannot be asked: Airflow answers 500" in first.reason
    assert second.facts["run_id"] == "plain"


def test_what_a_run_and_its_task_say_can_be_kept(world: World, watch: Watch, workflow: InMemoryWorkflow) -> None:
    """PostgreSQL holds no NUL: the consumer died of it, and again each time it was started, for a day."""
    fail(workflow, "r", "row \x00 is bad", customer_id="ua", model="fraud", reason="be\x00cause")
    watch.step()
    [event] = told(world)
    assert "\x00" not in event.model_dump_json() + event.reason + str(event.facts["asked"])
    assert event.reason.endswith('then `roost train ua --model fraud --reason "…"`.')


def test_a_run_that_a_row_follows_gives_no_second_event(world: World, watch: Watch, workflow: InMemoryWorkflow) -> None:
    world.ledger.sign_up("crm 1", CustomerSignedUp(customer="ua"), at=T0, run_id="signup__ua__1")
    worker = Worker(ledger=world.ledger, workflow=workflow, clock=world.clock)
    worker.step()
    workflow.fail(TRAIN_DAG, "signup__ua__1", "prepare", "no data")
    assert watch.step() == 1
    world.clock.advance(60)
    worker.step()
    assert len(told(world)) == 1


def test_a_cleared_run_that_fails_again_is_told_again(world: World, watch: Watch, workflow: InMemoryWorkflow) -> None:
    """The same run gave the same event, whatever it did since: nobody heard of its second failure."""
    fail(workflow, "retrain__ua__w1", "ua has 3 rows.", customer_id="ua")
    assert watch.step() == 1
    world.clock.advance(600)
    workflow.fail(TRAIN_DAG, "retrain__ua__w1", "train_and_stage", "ua has 4 rows.")
    assert [watch.step(), watch.step()] == [1, 0]
    assert [("3 rows" in one.reason, "4 rows" in one.reason) for one in told(world)] == [(True, False), (False, True)]


def test_what_failed_while_no_consumer_was_there_is_told_a_day_back(
    world: World, watch: Watch, workflow: InMemoryWorkflow
) -> None:
    fail(workflow, "old", customer_id="ua")
    world.clock.advance(20 * 3600)
    fail(workflow, "new", customer_id="ua")
    world.clock.advance(5 * 3600)
    assert watch.step() == 1
    assert [one.facts["run_id"] for one in told(world)] == ["new"]


def test_more_than_a_page_is_told_look_by_look(world: World, watch: Watch, workflow: InMemoryWorkflow) -> None:
    for number in range(250):
        world.clock.advance(1)
        fail(workflow, f"r{number}", customer_id="ua")
    looks = [watch.step() for _ in range(5)]
    assert (sum(looks), looks[-1]) == (250, 0)
    assert len(told(world)) == 250


def test_while_airflow_is_away_it_is_waited_for(
    world: World, watch: Watch, workflow: InMemoryWorkflow, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    fail(workflow, "r", customer_id="ua")
    workflow.reachable = False
    looks = 0
    failed = workflow.failed

    def looked(*arguments: object, **named: object) -> object:
        nonlocal looks
        looks += 1
        workflow.reachable = looks > 2
        if looks == 4:
            stop.set()
        return failed(*arguments, **named)  # type: ignore[arg-type]  # as they came

    workflow.failed = looked  # type: ignore[method-assign,assignment]  # counts, and lets it come back
    watch.run(stop)
    assert (looks, len(told(world))) == (4, 1)
    assert sum("not looked for" in record.message for record in caplog.records) == 1
