"""What goes with time, and what never does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployer.rollout.retention import Retention
from roost.contracts.errors import StorageUnavailable
from roost.contracts.events import CustomerSignedUp
from roost.contracts.rollout import Phase
from roost.telemetry import metrics
from tests.unit.deployer.world import World

KEEP = timedelta(days=14)
DAY = 24 * 3600.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def retention(world: World) -> Retention:
    return Retention(world.parts, KEEP)


def run(retention: Retention) -> None:
    while retention.step() == 0.0:
        pass


def staged(world: World) -> set[str]:
    return {stored.name.split("/")[3] for stored in world.store.list("staging/")}


def test_what_was_staged_for_a_rollout_that_ended_goes_and_its_version_stays(
    world: World, retention: Retention
) -> None:
    world.deploy(run="good")
    world.deploy(run="bad", graph=b"no graph")
    world.clock.advance(3600)
    world.run()
    assert world.rollout("ua-good").phase is Phase.SETTLED
    world.clock.advance(KEEP.total_seconds() - 2 * 3600)
    run(retention)
    assert staged(world) == {"good", "bad"}
    counted = metrics.REMOVED.labels("staging")._value.get()
    world.clock.advance(3 * 3600)
    run(retention)
    assert staged(world) == set()
    assert metrics.REMOVED.labels("staging")._value.get() == counted + 2
    assert world.rollout("ua-bad").phase is Phase.REJECTED
    assert {stored.name.split("/")[3] for stored in world.store.list("models/")} >= {"1"}


def test_what_is_under_way_keeps_its_staged_artifact_however_old(world: World, retention: Retention) -> None:
    world.receive(world.stage(run="waits"))
    world.clock.advance(100 * DAY)
    run(retention)
    assert staged(world) == {"waits"}


def test_a_rollout_that_ended_late_keeps_its_staged_artifact_for_the_whole_time(
    world: World, retention: Retention
) -> None:
    world.receive(world.stage(run="late"))
    world.clock.advance(100 * DAY)
    row = world.rollout("ua-late")
    world.parts.write([world.parts.move(row, Phase.CANCELLED, world.parts.cause(row, "nobody wants it"))])
    run(retention)
    assert staged(world) == {"late"}
    world.clock.advance(15 * DAY)
    run(retention)
    assert staged(world) == set()


def test_what_nobody_ever_announced_goes_once_all_of_it_is_old(world: World, retention: Retention) -> None:
    for run_id in ("dead", "slow"):
        world.store.write(f"staging/ua/default/{run_id}/saved_model.pb", b"half", if_generation=0)
    world.clock.advance(15 * DAY)
    world.store.write("staging/ua/default/slow/variables", b"half", if_generation=0)
    run(retention)
    assert staged(world) == {"slow"}


def test_what_is_whole_and_has_no_rollout_stays_as_long_as_its_event_may_come(
    world: World, retention: Retention
) -> None:
    """Consumers that were away for two weeks, as a dead letter that was replayed, met an artifact that was gone."""
    world.stage(run="announced")
    for day, left in ((30, {"announced"}), (7, {"announced"}), (2, set())):
        world.clock.advance(day * DAY)
        run(retention)
        assert staged(world) == left


@pytest.mark.parametrize("name", ["staging/README", "staging/ua/default/-x/file", "staging/UA/default/r/file"])
def test_what_is_not_ours_stays(world: World, retention: Retention, name: str) -> None:
    world.store.write(name, b"somebody's", if_generation=0)
    world.clock.advance(100 * DAY)
    run(retention)
    assert world.store.stat(name) is not None


def test_many_artifacts_are_looked_at_a_few_at_a_time(world: World, retention: Retention) -> None:
    for number in range(45):
        world.store.write(f"staging/ua/default/r{number}/MANIFEST.json", b"{}", if_generation=0)
    world.clock.advance(39 * DAY)
    left = []
    while retention.step() == 0.0:
        left.append(len(staged(world)))
    assert (left, staged(world)) == ([25, 5], set())


def test_it_looks_once_an_hour(world: World, retention: Retention) -> None:
    run(retention)
    world.clock.advance(600)
    assert retention.step() == 3000
    world.clock.advance(3000)
    assert retention.step() == 3600


def test_an_outage_ends_the_look_and_the_next_begins_anew(world: World, retention: Retention) -> None:
    for number in range(30):
        world.store.write(f"staging/ua/default/r{number}/MANIFEST.json", b"{}", if_generation=0)
    world.clock.advance(39 * DAY)
    assert retention.step() == 0.0
    world.memory.outage = "the store is away"
    with pytest.raises(StorageUnavailable):
        retention.step()
    world.memory.outage = None
    run(retention)
    assert staged(world) == set()


def test_events_go_after_their_time_and_what_may_come_again_stays_known(world: World, retention: Retention) -> None:
    signup = CustomerSignedUp(customer="ua")
    world.ledger.sign_up("crm 1", signup, at=world.clock.now(), run_id="r")
    world.deploy()
    told = len(world.ledger.recent_events(limit=100))
    world.clock.advance(15 * DAY)
    run(retention)
    # Nobody published them.
    assert len(world.ledger.recent_events(limit=100)) == told
    world.ledger.mark_published([row.sequence for row in world.ledger.unpublished(100)])
    world.clock.advance(3600)
    run(retention)
    assert world.ledger.recent_events(limit=100) == []
    # Its topic keeps it for 30 days, and the segment that it lies in may be a week older: a consumer that lost its
    # place reads it again.
    again = CustomerSignedUp(customer="ua", model="other")
    world.clock.advance(22 * DAY)
    run(retention)
    assert not world.ledger.sign_up("crm 1", again, at=world.clock.now(), run_id="r")
    world.clock.advance(2 * DAY)
    run(retention)
    assert world.ledger.sign_up("crm 1", again, at=world.clock.now(), run_id="r")
