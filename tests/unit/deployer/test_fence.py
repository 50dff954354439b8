"""A ledger of before: lost, or restored from a backup that is older than what serves. Nothing is done by its word."""

from __future__ import annotations

import copy
import threading

import pytest
from prometheus_client import REGISTRY

from deployer.loops import Deployer, Serving
from deployer.promotion.fence import NOTED, Fence, LedgerBehind
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.in_memory.ledger_state import LedgerState
from roost.contracts.errors import DatabaseUnavailable
from roost.contracts.events import Command
from roost.contracts.ids import desired_object
from roost.contracts.rollout import Phase
from roost.settings import Settings
from tests.unit.deployer.world import World


def in_memory(world: World) -> LedgerState:
    ledger = world.ledger
    assert isinstance(ledger, InMemoryLedger)
    return ledger._state


def backup(world: World) -> dict[str, object]:
    """What `pg_dump` keeps of the ledger."""
    state = in_memory(world)
    kept = ("inbox", "onboardings", "rollouts", "versions", "generations", "quarantines", "commands", "outbox")
    return {name: copy.deepcopy(getattr(state, name)) for name in kept}


def restore(world: World, kept: dict[str, object]) -> None:
    for name, value in kept.items():
        setattr(in_memory(world), name, value)
    world.start_deployer()


def fence(world: World) -> Fence:
    return Fence(world.ledger, world.store, ("default", "canary"))


def object_generation(world: World) -> int:
    found = world.store.stat(desired_object("default"))
    assert found is not None
    return found.generation


def test_a_ledger_that_wrote_what_serves_is_sure(world: World) -> None:
    world.deploy()
    fence(world).check()
    assert world.ledger.newest_generation("default") == world.desired().generation


def test_nothing_serves_and_nothing_is_known_at_first(world: World) -> None:
    fence(world).check()


def behind(pool: str = "default") -> float | None:
    return REGISTRY.get_sample_value("roost_pool_ledger_behind_count", {"pool": pool})


def test_how_far_the_ledger_is_behind_is_measured_until_it_is_made_again(world: World) -> None:
    fence(world).check()
    assert (behind("default"), behind("canary")) == (0, 0)
    world.deploy()
    known = dict(in_memory(world).generations)
    in_memory(world).generations["default"] = known["default"] - 1
    with pytest.raises(LedgerBehind):
        fence(world).check()
    assert behind() == 1
    in_memory(world).generations.clear()
    with pytest.raises(LedgerBehind):
        fence(world).check()
    assert behind() == known["default"]
    in_memory(world).generations.update(known)
    fence(world).check()
    assert behind() == 0


def test_a_rollback_is_not_undone_by_a_backup_from_before_it(world: World) -> None:
    world.deploy(run="r1")
    world.later(3600)
    world.run()
    world.receive(world.stage(run="r2"))
    while world.rollout("ua-r2").phase is not Phase.PROMOTING:
        world.worker.step()
        world.canary_pool.step()
    kept = backup(world)
    world.run()
    world.command(Command.ROLLBACK, customer="ua")
    world.run()
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert (entry.stable, entry.has(2)) == (1, False)
    before = object_generation(world)
    restore(world, kept)
    assert world.rollout("ua-r2").phase is Phase.PROMOTING
    with pytest.raises(LedgerBehind, match="roost rebuild --onto"):
        fence(world).check()
    with pytest.raises(LedgerBehind, match="the ledger knows"):
        world.promoter.step()
    assert object_generation(world) == before


def test_an_empty_ledger_is_not_acted_on_where_something_serves(world: World) -> None:
    world.deploy()
    in_memory(world).generations.clear()
    in_memory(world).rollouts.clear()
    with pytest.raises(LedgerBehind, match="the ledger knows none"):
        fence(world).check()


@pytest.mark.parametrize("known", [None, 1])
def test_generations_that_a_deployer_of_before_writes_are_taken_over(world: World, known: int | None) -> None:
    world.deploy()
    state = in_memory(world)
    for pool in ("default", "canary"):
        content, stored = world.store.read(desired_object(pool))
        unmarked = {key: value for key, value in stored.metadata.items() if key != NOTED}
        world.store.write(desired_object(pool), content, if_generation=stored.generation, metadata=unmarked)
    state.generations.clear()
    if known is not None:
        state.generations["default"] = known
    found = fence(world)
    found.check()
    world.start_deployer()
    world.deploy(run="r2")
    assert world.ledger.newest_generation("default") == world.desired().generation


def test_what_it_was_sure_of_is_looked_at_again_after_an_outage(world: World) -> None:
    world.deploy()
    found = fence(world)
    found.check()
    in_memory(world).generations.clear()
    found.check()
    found.doubt()
    with pytest.raises(LedgerBehind):
        found.check()


class Lost(InMemoryLedger):
    """A ledger that goes away and comes back as it was before."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.away = threading.Event()
        self.asked = threading.Event()

    def open_commands(self, limit: int):
        if self.away.is_set():
            self.away.clear()
            self._state.generations.clear()
            raise DatabaseUnavailable("PostgreSQL does not answer")
        return super().open_commands(limit)


def test_a_deployer_whose_ledger_came_back_as_it_was_before_says_so_and_waits() -> None:
    world = World()
    ledger = Lost(world)
    world = World(ledger=ledger, clock=world.clock)
    world.deploy()
    ledger.away.set()
    bus = InMemoryBus(world.clock)
    serving = Serving(directory=world.pools, control=world.pools, predictor=world.pools)
    # Loops that nobody wakes look again after their idle time.
    deployer = Deployer(Settings(), world.parts, serving=serving, publisher=bus.publisher(), wakeups=ledger.wakeups())
    stop = threading.Event()
    thread = threading.Thread(target=deployer.run, args=(stop,))
    thread.start()
    try:
        told = dict.fromkeys(("commands", "worker-0", "pool/default", "pool/canary"), False)
        for _ in range(6000):
            troubles = deployer.troubles()
            told = {name: "older than the world" in str(troubles.get(name)) for name in told}
            if all(told.values()):
                break
            stop.wait(0.01)
        assert all(told.values()), deployer.troubles()
    finally:
        stop.set()
        thread.join(60)
        world.threads.shutdown()
