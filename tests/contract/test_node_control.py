"""One suite for everything that is asked of a node: the pool in memory, and the HTTP client on a real control port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import SecretStr

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.adapters.node_control import HttpNodeControl
from roost.contracts.acks import NodeState, VersionState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import NodeUnavailable
from roost.contracts.ids import desired_object
from roost.contracts.manifest import digest_of
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress, NodeControl
from serving.node.control import Controls, ControlServer, make_app
from tests.unit.node.world import Node, put

pytestmark = pytest.mark.contract

UA = "ua.default"
TOKEN = SecretStr("secret")


class World(Protocol):
    """A node with its control, and the store behind it."""

    store: InMemoryObjectStore
    control: NodeControl
    address: NodeAddress

    def cut(self) -> None:
        """The node is not reached any more."""

    def close(self) -> None: ...


class PoolWorld:
    def __init__(self) -> None:
        self.store = InMemoryObjectStore()
        self.pool = InMemoryPool(self.store, ManualClock(), nodes=1)
        self.control: NodeControl = self.pool
        self.address = self.pool.nodes("default")[0]

    def cut(self) -> None:
        self.pool.faults(self.address.node).down = True

    def close(self) -> None:
        pass


class HttpWorld:
    """The engine on in-memory parts in a thread of its own, behind the real control port."""

    def __init__(self, directory: Path) -> None:
        self._node = Node(directory, clock=SystemClock(), poll_seconds=60)
        self.store = self._node.store
        self._server = ControlServer("127.0.0.1:0", TOKEN)
        controls = Controls(engine=self._node.engine, watch=self._node.watch, stop=lambda: None)
        self._server.start(make_app(controls, TOKEN))
        self._http = HttpNodeControl(TOKEN)
        self.control: NodeControl = self._http
        at = self._server.address
        self.address = NodeAddress(node="node-1", pool="default", control=at, rest=at, grpc=at)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._node.engine.run, args=(self._stop,), daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._server.stop()

    def close(self) -> None:
        self._stop.set()
        self._node.engine.wake()
        self._thread.join(10)
        self._server.stop()
        self._http.close()


@pytest.fixture(params=["in_memory", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    made: World = PoolWorld() if request.param == "in_memory" else HttpWorld(tmp_path)
    yield made
    made.close()


def desire(world: World, generation: int, *versions: int, stable: int) -> None:
    listed = []
    for version in versions:
        exists = world.store.stat(f"models/ua/default/{version}/MANIFEST.json")
        digest = put(world.store, UA, version) if exists is None else _digest(world, version)
        listed.append(DesiredVersion(version=version, digest=digest, rollout_id="r"))
    model = DesiredModel(name=UA, versions=tuple(listed), labels={"stable": stable})
    state = DesiredState(pool="default", generation=generation, models=(model,))
    facts = world.store.stat(desired_object("default"))
    world.store.write(
        desired_object("default"), state.encoded(), if_generation=facts.generation if facts is not None else 0
    )


def _digest(world: World, version: int) -> str:
    return digest_of(world.store.read(f"models/ua/default/{version}/MANIFEST.json")[0])


def test_a_nudge_brings_a_generation_that_the_node_then_settles(world: World):
    desire(world, 1, 1, stable=1)
    world.control.nudge(world.address, 1, deadline=5)
    state = world.control.await_settled(world.address, 1, deadline=20)
    assert state.node == world.address.node
    assert state.settled
    assert state.converged
    assert state.serves(UA, 1)


def test_a_flip_shows_when_stable_moved(world: World):
    desire(world, 1, 1, stable=1)
    world.control.nudge(world.address, 1, deadline=5)
    first = world.control.await_settled(world.address, 1, deadline=20)
    desire(world, 2, 1, 2, stable=2)
    world.control.nudge(world.address, 2, deadline=5)
    second = world.control.await_settled(world.address, 2, deadline=20)
    assert second.serves(UA, 2)
    assert second.model(UA).state_of(1).state is VersionState.PROVEN
    assert second.model(UA).flipped_at >= first.model(UA).flipped_at


def test_waiting_for_a_generation_that_does_not_come_ends_with_the_state_as_it_is(world: World):
    desire(world, 1, 1, stable=1)
    world.control.nudge(world.address, 1, deadline=5)
    world.control.await_settled(world.address, 1, deadline=20)
    begun = time.monotonic()
    state = world.control.await_settled(world.address, 9, deadline=0.3)
    assert time.monotonic() - begun < 3
    assert state.generation == 1


def test_a_version_that_cannot_come_is_told_with_its_reason(world: World):
    desire(world, 1, 1, stable=1)
    manifest = "models/ua/default/1/MANIFEST.json"
    world.store.delete(manifest, if_generation=world.store.stat(manifest).generation)
    world.control.nudge(world.address, 1, deadline=5)
    state = world.control.await_settled(world.address, 1, deadline=20)
    assert state.settled
    assert not state.converged
    assert not state.serves(UA, 1)
    assert state.model(UA).state_of(1).state is VersionState.FAILED
    assert "does not exist" in state.model(UA).state_of(1).error


def test_a_nudge_for_a_generation_that_is_there_changes_nothing(world: World):
    desire(world, 2, 1, stable=1)
    world.control.nudge(world.address, 2, deadline=5)
    before = world.control.await_settled(world.address, 2, deadline=20)
    world.control.nudge(world.address, 1, deadline=5)
    after = world.control.state(world.address, deadline=5)
    assert after.generation == before.generation == 2
    assert after.settled


def test_a_drained_node_is_not_ready_and_still_serves(world: World):
    desire(world, 1, 1, stable=1)
    world.control.nudge(world.address, 1, deadline=5)
    world.control.await_settled(world.address, 1, deadline=20)
    world.control.drain(world.address, deadline=5)
    state = _state_when(world, draining=True)
    assert not state.ready
    assert state.serves(UA, 1)


def test_a_restarted_node_comes_back_with_the_same_generation(world: World):
    desire(world, 1, 1, stable=1)
    world.control.nudge(world.address, 1, deadline=5)
    world.control.await_settled(world.address, 1, deadline=20)
    world.control.restart(world.address, deadline=5)
    end = time.monotonic() + 20
    while (state := world.control.state(world.address, deadline=5)).restarts == 0 or not state.ready:
        assert time.monotonic() < end, state
    assert state.serves(UA, 1)
    assert state.restarts == 1


def test_a_node_that_is_not_reached_is_unavailable(world: World):
    world.cut()
    for ask in (
        lambda: world.control.state(world.address, deadline=1),
        lambda: world.control.nudge(world.address, 1, deadline=1),
        lambda: world.control.await_settled(world.address, 1, deadline=1),
        lambda: world.control.drain(world.address, deadline=1),
        lambda: world.control.restart(world.address, deadline=1),
    ):
        with pytest.raises(NodeUnavailable, match=world.address.node):
            ask()


def _state_when(world: World, *, draining: bool) -> NodeState:
    end = time.monotonic() + 10
    while (state := world.control.state(world.address, deadline=5)).draining is not draining:
        assert time.monotonic() < end, state
    return state
