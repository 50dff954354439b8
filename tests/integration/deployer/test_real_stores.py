"""The deployer's own process over real PostgreSQL and a real GCS server; nodes are simulated over the same store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployer.loops import Deployer, Serving
from deployer.rollout.retention import Retention
from roost.adapters.gcs import open_store
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.postgres import open_ledger, open_wakeups
from roost.contracts.cloudevents import decode
from roost.contracts.events import Command, RolloutChanged, Topic
from roost.contracts.policy import Policy
from roost.contracts.rollout import Phase
from roost.ports.clock import SystemClock
from roost.ports.event_bus import TopicSpec
from roost.settings import DatabaseSettings, DeployerSettings, Settings
from tests.parts import gcs_server
from tests.unit.deployer.world import World

pytestmark = pytest.mark.integration


@pytest.fixture
def real(tmp_path: Path, database_settings: DatabaseSettings) -> Iterator[World]:
    """A world whose ledger and object store are real."""
    with gcs_server(tmp_path) as storage:
        clock = SystemClock()
        ledger = open_ledger(database_settings, clock)
        world = World(Policy(), store=open_store(storage), clock=clock, ledger=ledger)
        yield world
        world.threads.shutdown()
        ledger.close()


@contextmanager
def running(world: World, database: DatabaseSettings, bus: InMemoryBus) -> Iterator[Deployer]:
    """The deployer's threads, until the block ends."""
    settings = Settings(database=database, deployer=DeployerSettings(lease_seconds=3, reconcile_seconds=1))
    wakeups = open_wakeups(database)
    serving = Serving(directory=world.pools, control=world.pools, predictor=world.pools)
    deployer = Deployer(settings, world.parts, serving=serving, publisher=bus.publisher(), wakeups=wakeups)
    stop = threading.Event()
    thread = threading.Thread(target=deployer.run, args=(stop,))
    thread.start()
    yield deployer
    stop.set()
    thread.join(120)
    wakeups.close()
    assert not thread.is_alive()


def await_phase(world: World, rollout_id: str, phase: Phase, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while world.rollout(rollout_id).phase is not phase:
        assert time.monotonic() < until, [line.model_dump() for line in world.ledger.history(rollout_id)]
        time.sleep(0.01)


def test_what_is_done_with_goes_from_real_postgres_and_a_real_store(
    tmp_path: Path, database_settings: DatabaseSettings
) -> None:
    with gcs_server(tmp_path) as storage:
        # The store's clock is the machine's; a bit ahead of it, so that what is staged is older.
        clock = ManualClock(datetime.now(UTC) + timedelta(minutes=1))
        ledger = open_ledger(database_settings, clock)
        world = World(Policy(), store=open_store(storage), clock=clock, ledger=ledger)
        world.deploy(run="good")
        world.receive(world.stage("dl", "waits"))
        world.command(Command.FREEZE, customer="dl")
        clock.advance(3600)
        world.promoter.step()
        assert world.rollout("ua-good").phase is Phase.SETTLED
        ledger.mark_published([row.sequence for row in ledger.unpublished(100)])
        clock.advance(40 * 24 * 3600)
        retention = Retention(world.parts, timedelta(days=14))
        while retention.step() == 0.0:
            pass
        assert {stored.name.split("/")[3] for stored in world.store.list("staging/")} == {"waits"}
        assert {stored.name.split("/")[3] for stored in world.store.list("models/")} == {"1"}
        assert (list(ledger.recent_events(limit=9)), list(ledger.commands(9))) == ([], [])
        assert [line.after for line in ledger.history("ua-good")][-1] is Phase.SETTLED
        world.threads.shutdown()
        ledger.close()


def test_a_rollout_goes_live_through_real_postgres_and_a_real_store(
    real: World, database_settings: DatabaseSettings
) -> None:
    bus = InMemoryBus(real.clock)
    bus.ensure([TopicSpec(name=Topic.DEPLOY_EVENTS, partitions=1, retention_ms=-1)])
    with running(real, database_settings, bus):
        manifest = real.stage()
        rollout_id = real.receive(manifest)
        await_phase(real, rollout_id, Phase.LIVE)
        # The relay tells of it a moment later.
        until = time.monotonic() + 120
        while real.ledger.pending_events():
            assert time.monotonic() < until, "not all is told"
            time.sleep(0.01)
    for line in real.ledger.history(rollout_id):
        print(line.after, line.at.isoformat(), line.reason, line.facts)
    assert all(state.serves("ua.default", 1) for state in real.states())
    told = [decode(one.value, one.headers).data for one in bus.read(Topic.DEPLOY_EVENTS)]
    assert [one.after for one in told if isinstance(one, RolloutChanged)] == [
        Phase.STORED,
        Phase.VETTED,
        Phase.CANARY,
        Phase.PROMOTING,
        Phase.LIVE,
    ]
