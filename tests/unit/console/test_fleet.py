"""The fleet: desired state beside what nodes say; whatever is down is shown, never raised."""

from __future__ import annotations

import pytest

from deployer.console.desired_objects import DesiredObjects
from deployer.console.fleet import FleetReader
from deployer.console.fleet_views import FleetView, PoolView
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.errors import StorageUnavailable
from roost.contracts.ids import desired_object
from roost.ports.ledger import RolloutQuery
from roost.ports.object_store import StoredObject
from tests.console import seed
from tests.console.world import World


@pytest.fixture(name="world")
def _world() -> World:
    return seed.build(ManualClock())


def fleet(world: World) -> FleetView:
    return FleetReader(world.sources).view()


def default(world: World) -> PoolView:
    return fleet(world).pools[0]


def test_a_pool_lists_its_names_with_stable_and_loaded_versions(world: World):
    names = {model.name: (model.stable, model.versions) for model in default(world).models}
    assert names["ua.default"] == (2, (1, 2))
    assert names["ev.default"] == (1, (1,))


def test_a_node_that_did_not_take_the_generation_up_is_behind(world: World):
    world.pool.faults("default-3").hangs = True
    live = next(row for row in world.ledger.rollouts(_newest("ua")))
    world.serve(live)
    behind = {node.node: node.behind for node in default(world).nodes}
    assert behind == {"default-1": False, "default-2": False, "default-3": True}
    assert default(world).nodes_behind == 1


def test_a_dead_node_counts_as_behind_and_says_why(world: World):
    world.pool.faults("default-1").down = True
    node = default(world).nodes[0]
    assert not node.reachable
    assert node.error is not None
    assert "did not answer" in node.error


def test_an_object_store_that_is_away_leaves_the_generation_unknown_and_nodes_shown(world: World):
    world.store.outage = "storage is away"
    pool = default(world)
    assert pool.generation is None
    assert pool.errors == ("storage is away",)
    assert len(pool.nodes) == 3
    assert not any(node.behind for node in pool.nodes)


def test_a_store_that_is_away_is_rested_and_asked_again(world: World):
    opened = 0

    def open_store() -> InMemoryObjectStore:
        nonlocal opened
        opened += 1
        if opened == 1:
            raise StorageUnavailable("storage does not open")
        return world.store

    clock = ManualClock()
    objects = DesiredObjects(open_store, clock)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="does not open"):
            objects.read("default")
    assert opened == 1, "while it rests nobody waits for it"
    clock.advance(6)
    assert objects.read("default").generation == world.generation


def test_a_store_that_answers_for_the_fleet_alone_is_not_rested(world: World):
    """The console's account may be held to `fleet/`; that it learns nothing of other objects is no outage."""

    class FleetOnly(InMemoryObjectStore):
        def stat(self, name: str) -> StoredObject | None:
            if not name.startswith("fleet/"):
                raise StorageUnavailable("the store refuses this account")
            return super().stat(name)

    store, clock = FleetOnly(), ManualClock()
    store.write(desired_object("default"), world.store.read(desired_object("default"))[0], if_generation=0)
    objects = DesiredObjects(lambda: store, clock)
    assert objects.has("models/ua/default/1/MANIFEST.json") is None
    assert objects.read("default").generation == world.generation
    clock.advance(6)
    assert objects.has(desired_object("default"))
    assert objects.has(desired_object("canary")) is False


def test_a_directory_that_cannot_be_read_is_said(world: World):
    world.pools.lost = "nodes.json is gone"
    pool = default(world)
    assert pool.nodes == ()
    assert pool.errors == ("nodes.json is gone",)


def test_a_pool_without_a_desired_object_is_at_generation_0():
    pool = default(World.empty(ManualClock()))
    assert pool.generation == 0
    assert pool.models == ()


def test_however_often_it_is_asked_nodes_are_asked_twice_a_second_at_most(world: World):
    reader = FleetReader(world.sources)
    assert reader.view().pools[0].nodes_behind == 0
    world.pool.faults("default-1").down = True
    assert reader.view().pools[0].nodes_behind == 0
    world.clock.advance(0.6)  # type: ignore[attr-defined]  # the fixture's clock is manual
    assert reader.view().pools[0].nodes_behind == 1


def _newest(customer: str) -> RolloutQuery:
    return RolloutQuery(customer=customer, limit=1)
