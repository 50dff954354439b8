"""The pool that other rooms' tests stand on."""

from __future__ import annotations

import numpy as np
import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.contracts.acks import VersionState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.ids import desired_object
from roost.ports.serving import Tensors

UA = "ua.default"


class World:
    def __init__(self, nodes: int = 3) -> None:
        self.store, self.clock = InMemoryObjectStore(), ManualClock()
        self.pool = InMemoryPool(self.store, self.clock, nodes=nodes, check_artifacts=False)

    def desire(self, generation: int, versions: list[int], stable: int) -> None:
        entries = tuple(DesiredVersion(version=v, digest="sha256:" + "0" * 64, rollout_id="r") for v in versions)
        model = DesiredModel(name=UA, versions=entries, labels={"stable": stable})
        state = DesiredState(pool="default", generation=generation, models=(model,))
        facts = self.store.stat(desired_object("default"))
        content = state.encoded()
        self.store.write(desired_object("default"), content, if_generation=facts.generation if facts else 0)

    def serving(self) -> list[int | None]:
        found = []
        for node in self.pool.nodes("default"):
            model = self.pool.state(node, deadline=1).model(UA)
            found.append(model.labels.get("stable") if model else None)
        return found

    def nudge(self, generation: int) -> None:
        for node in self.pool.nodes("default"):
            self.pool.nudge(node, generation, deadline=1)


@pytest.fixture
def world() -> World:
    made = World()
    made.desire(1, [1], 1)
    made.nudge(1)
    return made


def test_a_deaf_node_converges_by_its_poll(world: World):
    world.pool.faults("default-2").deaf = True
    world.desire(2, [1, 2], 2)
    world.nudge(2)
    assert world.serving() == [2, 1, 2]
    world.pool.poll()
    assert world.serving() == [2, 2, 2]


def test_a_slow_node_settles_when_its_time_has_passed(world: World):
    world.pool.faults("default-1").slow_seconds = 30
    world.desire(2, [1, 2], 2)
    world.nudge(2)
    slow = world.pool.nodes("default")[0]
    assert not world.pool.await_settled(slow, 2, deadline=10).settled
    assert world.pool.await_settled(slow, 2, deadline=60).serves(UA, 2)
    assert world.clock.monotonic() == 30


def test_a_hanging_node_never_settles(world: World):
    world.pool.faults("default-3").hangs = True
    world.desire(2, [1, 2], 2)
    world.nudge(2)
    state = world.pool.await_settled(world.pool.nodes("default")[2], 2, deadline=5)
    assert state.generation == 1
    assert world.clock.monotonic() == 5


def test_a_failed_load_keeps_the_old_version_answering(world: World):
    world.pool.fail_load(UA, 2, "no such op", node="default-1")
    world.desire(2, [2], 2)
    world.nudge(2)
    assert world.serving() == [1, 2, 2]
    state = world.pool.state(world.pool.nodes("default")[0], deadline=1)
    assert state.settled
    assert not state.converged
    assert state.model(UA).state_of(2).state is VersionState.FAILED


def test_a_new_node_takes_up_what_is_desired(world: World):
    assert world.pool.state(world.pool.add_node(), deadline=1).serves(UA, 1)


def test_an_older_generation_is_refused(world: World):
    world.desire(5, [1, 2], 2)
    world.nudge(5)
    world.desire(3, [1], 1)
    world.pool.poll()
    assert world.serving() == [2, 2, 2]


def test_predictions_follow_stable_or_the_version_and_fail_as_the_real_ones_do(world: World):
    world.pool.answer(UA, 1, lambda inputs: {"y": inputs["x"] * 0 + 7})
    node = world.pool.nodes("default")[0]
    inputs = {"x": np.asarray([1.0, 2.0])}

    def predict(name: str = UA, version: int | None = None, signature: str = "serving_default") -> Tensors:
        return world.pool.predict(node.grpc, name, inputs, version=version, signature=signature, deadline=1)

    assert predict()["y"].tolist() == [7, 7]
    assert predict(version=1)["y"].tolist() == [7, 7]
    with pytest.raises(Permanent, match=r"Servable not found for request: Specific\(ua.default, 9\)"):
        predict(version=9)
    with pytest.raises(Permanent, match="Unrecognized servable version label: stable"):
        predict(name="zz.default")
    with pytest.raises(Permanent, match='Serving signature key "other" not found'):
        predict(signature="other")
    world.pool.faults(node.node).down = True
    with pytest.raises(ModelServerUnavailable):
        predict()
