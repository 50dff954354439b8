"""Ready models to rollouts, commands to commands."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest

from roost.contracts.events import (
    Command,
    CustomerOffboarded,
    CustomerSignedUp,
    DeployCommand,
    ModelReady,
    Topic,
)
from roost.contracts.ids import rollout_id
from roost.contracts.rollout import Phase
from roost.ports.ledger import RolloutQuery
from tests.unit.consumers.conftest import DIGEST, T0, World, an_event

STOP = threading.Event()


def ready(**changes: object) -> ModelReady:
    fields: dict[str, object] = {
        "customer": "acme",
        "artifact_uri": "gs://roost/staging/acme/default/run-1/",
        "artifact_digest": DIGEST,
        "run_id": "run-1",
        "trained_at": T0,
        "data_window": ("2013-01-01", "2013-04-01"),
        "metrics": {"log_loss": 0.3},
        "code_version": "abc",
    }
    return ModelReady.model_validate(fields | changes)


def test_a_ready_model_becomes_a_rollout_with_its_event(world: World) -> None:
    world.publisher.publish(an_event(ready(), traceparent="00-abc-def-01"))
    world.loop(Topic.MODELS_READY).step(STOP)
    [row] = world.ledger.rollouts(RolloutQuery())
    assert (row.id, row.phase, row.pool) == (rollout_id("acme", "default", DIGEST), Phase.RECEIVED, "default")
    assert row.facts["metrics"] == {"log_loss": 0.3}
    [told] = world.ledger.unpublished(10)
    assert (told.event.type, told.event.subject) == ("roost.rollout.received.v1", "acme")
    assert told.event.traceparent == "00-abc-def-01"
    assert len(world.ledger.history(row.id)) == 1


def test_ten_times_the_same_is_one_rollout(world: World) -> None:
    for number in range(10):
        world.publisher.publish(an_event(ready(), f"e{number % 2}"))
    world.loop(Topic.MODELS_READY).step(STOP)
    assert len(world.ledger.rollouts(RolloutQuery())) == 1
    assert len(world.ledger.unpublished(100)) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"artifact_uri": "gs://roost/staging/other/default/run-1/"}, "staging prefix"),
        ({"artifact_uri": "gs://elsewhere/staging/acme/default/run-1/"}, "staging prefix"),
        ({"artifact_uri": "gs://roost/models/acme/default/1/"}, "staging prefix"),
        ({"artifact_uri": "gs://roost/staging/acme/default/../../../models/acme/default/1/"}, "staging prefix"),
        ({"artifact_uri": "gs://roost/staging/acme/default/run-2/"}, "staging prefix"),
        ({"trained_at": T0 + timedelta(days=2)}, "future"),
        ({"metrics": {"log_loss": float("nan")}}, "not a number"),
    ],
)
def test_a_false_announcement_is_poison_by_name(world: World, changes: dict[str, object], says: str) -> None:
    from consumers.models import received
    from roost.contracts.errors import InvalidEvent
    from tests.unit.consumers.conftest import PLACE

    with pytest.raises(InvalidEvent, match=says):
        received(ready(**changes), PLACE, world.clock)


def test_an_artifact_outside_the_prefix_is_buried_and_makes_no_rollout(world: World) -> None:
    world.publisher.publish(an_event(ready(artifact_uri="gs://roost/staging/other/default/run-1/")))
    world.loop(Topic.MODELS_READY).step(STOP)
    assert "staging prefix" in world.dead()[0]
    assert not world.ledger.rollouts(RolloutQuery())


@pytest.mark.parametrize(
    ("ahead", "counts"),
    [
        (timedelta(hours=-3), timedelta(hours=-3)),
        (timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(minutes=6), timedelta(0)),
        (timedelta(hours=23), timedelta(0)),
    ],
)
def test_a_clock_that_is_ahead_makes_no_model_newer_than_its_announcement(
    world: World, ahead: timedelta, counts: timedelta
) -> None:
    """A model dated a day ahead made each one of that day look older, and none of them was deployed."""
    world.publisher.publish(an_event(ready(trained_at=T0 + ahead)))
    world.loop(Topic.MODELS_READY).step(STOP)
    [rollout] = world.ledger.rollouts(RolloutQuery())
    assert rollout.trained_at == T0 + counts


@pytest.mark.parametrize("before", [0, 1], ids=["came after they left", "came again"])
def test_a_model_of_a_customer_who_left_is_passed_over(
    world: World, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The event of a model that was received long ago became a dead letter, and an alert, when a log was read again."""
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), "1"))
    customers, models = world.loop(), world.loop(Topic.MODELS_READY)
    customers.step(STOP)
    for _ in range(before):
        world.publisher.publish(an_event(ready(), "m1"))
        models.step(STOP)
    world.publisher.publish(an_event(CustomerOffboarded(customer="acme"), "2"))
    customers.step(STOP)
    world.publisher.publish(an_event(ready(), "m1"))
    with caplog.at_level(logging.INFO):
        models.step(STOP)
    assert world.dead() == []
    assert len(world.ledger.rollouts(RolloutQuery())) == before
    [line] = [one for one in caplog.records if getattr(one, "action", None) == "left"]
    assert line.getMessage() == "acme.default: run run-1 is ready, and the customer has left: nothing to do"
    assert sum(models._parts.source.lag().values()) == 0


def test_a_model_of_a_customer_who_came_back_is_deployed(world: World) -> None:
    for number, data in enumerate(
        (CustomerSignedUp(customer="acme"), CustomerOffboarded(customer="acme"), CustomerSignedUp(customer="acme"))
    ):
        world.publisher.publish(an_event(data, f"c{number}"))
    world.loop().step(STOP)
    world.publisher.publish(an_event(ready()))
    world.loop(Topic.MODELS_READY).step(STOP)
    assert len(world.ledger.rollouts(RolloutQuery())) == 1


def test_a_command_is_accepted_once_under_its_own_id(world: World) -> None:
    command = DeployCommand(command=Command.ROLLBACK, actor="ann", reason="wrong", customer="acme")
    for _ in range(3):
        world.publisher.publish(an_event(command, "c1"))
    world.loop(Topic.DEPLOY_COMMANDS).step(STOP)
    assert [(row.event_id, row.command) for row in world.ledger.open_commands(10)] == [("c1", command)]


def test_a_command_without_a_customer_may_name_any_subject(world: World) -> None:
    command = DeployCommand(command=Command.FREEZE, actor="ann", reason="holiday")
    world.publisher.publish(an_event(command, "c1", subject="fleet"))
    world.loop(Topic.DEPLOY_COMMANDS).step(STOP)
    assert len(world.ledger.open_commands(10)) == 1
