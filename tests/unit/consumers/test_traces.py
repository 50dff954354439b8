"""The consumers in a signup's trace: what is received, and the training run between the two of them."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from consumers.onboarding import TRAIN_DAG, Worker
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts.events import CustomerSignedUp, Topic
from roost.ports.ledger import OnboardingStage, RolloutQuery
from roost.ports.workflow import TRACE_CONF
from tests.unit.consumers.conftest import World, an_event
from tests.unit.consumers.test_models import ready
from tests.unit.telemetry.spans import ids, parent, place, traced

TOLD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STOP = threading.Event()


def take_in(world: World, topic: Topic, times: int = 1) -> None:
    loop = world.loop(topic)
    for _ in range(times):
        loop.step(STOP)


def test_what_follows_from_an_event_goes_on_from_its_receipt_and_a_duplicate_is_none() -> None:
    world = World()
    event = an_event(ready(), traceparent=TOLD)
    for _ in range(3):
        world.publisher.publish(event)
    with traced() as written:
        take_in(world, Topic.MODELS_READY, 3)
    received = written.one("models.ready receive")
    assert (place(received)[0], parent(received)) == ids(TOLD)
    [row] = world.ledger.rollouts(RolloutQuery())
    assert ids(row.traceparent) == place(received)
    assert [ids(told.event.traceparent) for told in world.ledger.unpublished(10)] == [place(received)]


def test_poison_stands_in_the_trace_with_its_reason() -> None:
    world = World()
    uri = "gs://elsewhere/staging/acme/default/run-1/"
    world.publisher.publish(an_event(ready(artifact_uri=uri), traceparent=TOLD))
    with traced() as written:
        take_in(world, Topic.MODELS_READY)
    assert "staging prefix" in str(written.one("models.ready receive").status.description)


@pytest.mark.parametrize(("state", "error"), [("success", None), ("failed", "no task of it failed")])
def test_the_training_run_is_a_span_that_its_tasks_knew_as_their_parent(state: str, error: str | None) -> None:
    world, engine = World(), InMemoryWorkflow()
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), traceparent=TOLD))
    worker = Worker(ledger=world.ledger, workflow=engine, clock=world.clock)
    with traced() as written:
        take_in(world, Topic.CUSTOMERS)
        worker.step()
        [row] = world.ledger.customers()
        asked = engine.runs[TRAIN_DAG, row.airflow_run_id].conf[TRACE_CONF]
        # The answer of the first try was lost: the second finds the run, of the same conf.
        world.ledger.set_onboarding(replace(row, stage=OnboardingStage.SIGNED_UP, next_attempt_at=None))
        worker.step()
        engine.finish(TRAIN_DAG, row.airflow_run_id, state)
        world.clock.advance(60)
        worker.step()
    run, received = written.one(TRAIN_DAG), written.one("customers receive")
    assert place(run) == ids(str(asked))
    assert parent(run) == place(received)[1]
    assert str(run.status.description or "").startswith(error or "")
    assert (run.status.description is None) == (error is None)
    if error:
        assert [told.event.traceparent for told in world.ledger.unpublished(10)] == [row.traceparent]


def test_a_run_that_an_engineer_started_is_no_part_of_the_signups_trace() -> None:
    world, engine = World(), InMemoryWorkflow()
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), traceparent=TOLD))
    worker = Worker(ledger=world.ledger, workflow=engine, clock=world.clock)
    with traced() as written:
        take_in(world, Topic.CUSTOMERS)
        worker.step()
        engine.start(TRAIN_DAG, "manual__acme", {}, note="")
        world.ledger.follow_run("acme", "default", "manual__acme")
        engine.finish(TRAIN_DAG, "manual__acme", "success")
        world.clock.advance(60)
        worker.step()
    [row] = world.ledger.customers()
    assert row.stage is OnboardingStage.TRAINED
    assert not written.named(TRAIN_DAG)


def test_without_traces_the_engine_is_told_of_none_and_a_retry_that_knows_one_finds_the_run() -> None:
    """Traces were turned on between two tries: the run that exists is the same run, whatever its conf says of them."""
    world, engine = World(), InMemoryWorkflow()
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), traceparent=TOLD))
    worker = Worker(ledger=world.ledger, workflow=engine, clock=world.clock)
    take_in(world, Topic.CUSTOMERS)
    worker.step()
    [row] = world.ledger.customers()
    assert TRACE_CONF not in engine.runs[TRAIN_DAG, row.airflow_run_id].conf
    assert row.traceparent == TOLD
    world.ledger.set_onboarding(replace(row, stage=OnboardingStage.SIGNED_UP, next_attempt_at=None))
    with traced():
        worker.step()
    assert [row.stage for row in world.ledger.customers()] == [OnboardingStage.TRAINING]
