"""The policy file changes while the deployer runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from deployer.loops import Deployer, Serving
from deployer.rollout.parts import Parts
from deployer.rollout.policy_watch import PolicyWatch
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.cloudevents import Event
from roost.contracts.desired import LoadingOrder
from roost.contracts.errors import DatabaseUnavailable, SettingsInvalid
from roost.contracts.events import OperationReported
from roost.policy_file import PolicyInForce
from roost.settings import DeployerSettings, Settings
from tests.unit.deployer.world import World


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: {bake_seconds: 600}\n")
    return path


def parts(world: World, policy: PolicyInForce) -> Parts:
    return Parts(ledger=world.ledger, store=world.store, policy=policy, clock=world.clock)


def told(world: World) -> list[OperationReported]:
    return [row.event.data for row in world.ledger.unpublished(99) if isinstance(row.event.data, OperationReported)]


def test_a_change_is_in_force_at_once_and_told(world: World, file: Path) -> None:
    policy, seen = PolicyInForce(file), []
    watch = PolicyWatch(parts(world, policy), policy, [lambda: seen.append(policy.restart)])
    watch.step()
    file.write_text("rules: {bake_seconds: 5}\npools: {default: {loading: unload-first}}\n")
    watch.step()
    watch.step()
    assert policy.rules_for("ua").bake_seconds == 5
    assert policy.loading("default") is LoadingOrder.UNLOAD_FIRST
    assert ([one.what for one in told(world)], len(seen)) == (["policy.changed"], 1)


@pytest.mark.parametrize("broken", ["rules: {bake_secnods: 5}\n", "rules: [", None])
def test_one_that_cannot_be_used_leaves_the_one_before_in_force(world: World, file: Path, broken: str | None) -> None:
    policy = PolicyInForce(file)
    watch = PolicyWatch(parts(world, policy), policy)
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    watch.step()
    watch.step()
    assert policy.rules_for("ua").bake_seconds == 600
    (event,) = told(world)
    assert event.what == "policy.refused"
    assert str(file) in event.reason
    file.write_text("rules: {bake_seconds: 7}\n")
    watch.step()
    assert policy.rules_for("ua").bake_seconds == 7


def test_a_bad_file_at_the_start_is_refused_and_none_never_changes(file: Path) -> None:
    file.write_text("rules: {bake_secnods: 5}\n")
    with pytest.raises(SettingsInvalid, match="bake_secnods"):
        PolicyInForce(file)
    assert PolicyInForce(None).refresh() is None


def test_what_could_not_be_told_is_told_at_the_next_look(world: World, file: Path) -> None:
    class Away(InMemoryLedger):
        away = True

        def add_events(self, events: Sequence[Event]) -> None:
            if self.away:
                self.away = False
                raise DatabaseUnavailable("PostgreSQL does not answer")
            super().add_events(events)

    policy, ledger = PolicyInForce(file), Away(world.clock)
    watch = PolicyWatch(Parts(ledger=ledger, store=world.store, policy=policy, clock=world.clock), policy)
    file.write_text("rules: {bake_seconds: 5}\n")
    with pytest.raises(DatabaseUnavailable):
        watch.step()
    watch.step()
    assert [row.event.data.what for row in ledger.unpublished(9)] == ["policy.changed"]


def test_a_running_deployer_follows_its_file(world: World, file: Path) -> None:
    policy = PolicyInForce(file)
    bus = InMemoryBus(world.clock)
    serving = Serving(directory=world.pools, control=world.pools, predictor=world.pools)
    ledger = world.ledger
    assert isinstance(ledger, InMemoryLedger)
    settings = Settings(deployer=DeployerSettings(reconcile_seconds=0.05))
    deployer = Deployer(
        settings, parts(world, policy), serving=serving, publisher=bus.publisher(), wakeups=ledger.wakeups()
    )
    stop = threading.Event()
    thread = threading.Thread(target=deployer.run, args=(stop,))
    thread.start()
    try:
        file.write_text("restart: {leaked_mb: 7}\npools: {default: {loading: unload-first}}\n")
        for _ in range(6000):
            if [one.what for one in told(world)]:
                break
            stop.wait(0.01)
        assert [one.what for one in told(world)] == ["policy.changed"]
    finally:
        stop.set()
        thread.join(60)
