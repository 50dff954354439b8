"""Promotion and rollback in a pool whose memory does not hold two versions of a model."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.desired import DesiredState, LoadingOrder
from roost.contracts.events import Command
from roost.contracts.ids import desired_object
from roost.contracts.policy import Policy, PoolRules
from roost.contracts.rollout import Phase
from roost.ports.object_store import StoredObject
from tests.unit.deployer.world import World

FIRST = LoadingOrder.UNLOAD_FIRST
UA = "ua.default"


class Recorded(InMemoryObjectStore):
    """Keeps each desired state of the pool that was written."""

    written: list[DesiredState]

    def write(
        self, name: str, content: bytes, *, if_generation: int, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        stored = super().write(name, content, if_generation=if_generation, metadata=metadata)
        if name == desired_object("default"):
            self.written = [*getattr(self, "written", []), DesiredState.decoded(content)]
        return stored


@pytest.fixture
def store() -> Recorded:
    return Recorded()


@pytest.fixture
def short_of_memory(store: Recorded) -> World:
    return World(Policy(pools={"default": PoolRules(loading=FIRST)}), store=store)


def retrained(world: World, run: str) -> str:
    world.clock.advance(60)
    return world.deploy(run=run)


def listed(store: Recorded) -> list[list[int]]:
    """The versions of UA that each generation listed."""
    entries = [state.model(UA) for state in store.written]
    return [[one.version for one in entry.versions] for entry in entries if entry]


def test_no_generation_lists_two_versions_and_the_new_one_goes_live(short_of_memory: World, store: Recorded) -> None:
    world = short_of_memory
    world.deploy()
    second = retrained(world, "r2")
    assert world.rollout(second).phase is Phase.LIVE
    assert world.rollout(second).previous_version == 1
    assert world.desired().loading is FIRST
    assert listed(store) == [[1], [2]]
    world.clock.advance(601)
    world.run()
    assert world.rollout(second).phase is Phase.SETTLED


def test_a_version_that_fails_gives_its_place_back(short_of_memory: World, store: Recorded) -> None:
    world = short_of_memory
    world.deploy()
    for node in world.pool.nodes("default"):
        world.pool.fail_load(UA, 2, "no such op", node=node.node)
    second = retrained(world, "r2")
    assert world.rollout(second).phase is Phase.ROLLED_BACK
    assert listed(store) == [[1], [2], [1]]
    assert all(one.serves(UA, 1) for one in world.states())


def test_a_rollback_swaps_too(short_of_memory: World, store: Recorded) -> None:
    world = short_of_memory
    world.deploy()
    second = retrained(world, "r2")
    world.command(Command.ROLLBACK, rollout_id=second)
    world.run()
    assert world.rollout(second).phase is Phase.ROLLED_BACK
    assert listed(store) == [[1], [2], [1]]
    assert all(one.serves(UA, 1) for one in world.states())


def test_other_pools_and_the_canary_load_first(short_of_memory: World) -> None:
    short_of_memory.deploy()
    content, _ = short_of_memory.store.read(desired_object("canary"))
    assert DesiredState.decoded(content).loading is LoadingOrder.LOAD_FIRST
    assert Policy().loading("default") is LoadingOrder.LOAD_FIRST
