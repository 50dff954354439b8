"""Loads and unloads, with a loader that needs no TensorFlow."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.model_server.giving_back import GivingBack
from serving.model_server.lifecycle import Lifecycle
from serving.model_server.retries import LoadingPolicy
from serving.model_server.serving_map import ModelRequest, ServingVersions
from serving.model_server.statuses import Code, StatusError
from serving.model_server.version_states import State, StateBoard

SECONDS = 10.0


class Thing:
    """A loaded version that knows whether it was closed."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.closed = threading.Event()

    def close(self) -> None:
        """Note it."""
        self.closed.set()


class World:
    """A lifecycle with a loader whose failures and pauses a test decides."""

    def __init__(self, policy: LoadingPolicy) -> None:
        self.board = StateBoard()
        self.serving: ServingVersions[Thing] = ServingVersions()
        self.failing: dict[int, Exception] = {}
        self.held: dict[int, threading.Event] = {}
        self.attempts: list[int] = []
        #: How many versions had ended each time that memory was given back.
        self.given_back: list[int] = []
        self.lifecycle = Lifecycle(
            load=self._load,
            serving=self.serving,
            board=self.board,
            policy=policy,
            memory=GivingBack(lambda: self.given_back.append(self.ended())),
        )
        self.lifecycle.start()

    def _load(self, name: str, version: int, directory: Path) -> Thing:
        self.attempts.append(version)
        if version in self.held:
            assert self.held[version].wait(SECONDS)
        if version in self.failing:
            raise self.failing[version]
        return Thing(version)

    def want(self, *versions: int) -> None:
        """Want these versions of the one model."""
        self.lifecycle.want({"m": {version: Path(f"/m/{version}") for version in versions}} if versions else {})

    def ended(self) -> int:
        """How many versions the board says have ended."""
        return sum(state is State.END for state in self.states().values())

    def states(self) -> dict[int, State]:
        """What the board says."""
        return {version: each.state for version, each in self.board.versions("m").items()}

    def reach(self, condition: Callable[[], bool]) -> None:
        """Wait until a change on the board makes the condition true."""
        with self.board._changed:
            assert self.board._changed.wait_for(condition, SECONDS), self.board._states


@pytest.fixture(params=[0, 2], ids=["in the deciding thread", "in a pool"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A running lifecycle, with and without threads for loading."""
    threads = request.param
    made = World(LoadingPolicy(load_threads=threads, unload_threads=threads, max_retries=1, retry_seconds=0.0))
    yield made
    made.lifecycle.stop()


def _is(world: World, **versions: State) -> Callable[[], bool]:
    return lambda: world.states() == {int(name[1:]): state for name, state in versions.items()}


def test_the_old_version_goes_when_the_new_one_serves(world: World) -> None:
    """And it is closed then."""
    world.want(1)
    world.reach(_is(world, v1=State.AVAILABLE))
    old = world.serving.find(ModelRequest(name="m"))
    world.want(2)
    world.reach(_is(world, v2=State.AVAILABLE, v1=State.END))
    assert old.closed.is_set()
    assert world.serving.find(ModelRequest(name="m")).version == 2


def test_a_version_that_fails_is_tried_again_so_often_and_no_more(world: World) -> None:
    """One try and one retry; the old version stays; wanting it anew tries it anew."""
    world.want(1)
    world.reach(_is(world, v1=State.AVAILABLE))
    world.failing[2] = StatusError(Code.DATA_LOSS, "cut")
    world.want(2)
    world.reach(_is(world, v2=State.END, v1=State.AVAILABLE))
    assert world.attempts == [1, 2, 2]
    error = world.board.versions("m")[2].error
    assert error is not None
    assert error.code is Code.DATA_LOSS
    world.want(1)
    del world.failing[2]
    world.want(2)
    world.reach(_is(world, v2=State.AVAILABLE, v1=State.END))


def test_a_loader_that_breaks_ends_its_version_only(world: World) -> None:
    """Whatever it raises becomes the version's INTERNAL."""
    world.failing[1] = ZeroDivisionError("surprise")
    world.want(1)
    world.reach(_is(world, v1=State.END))
    error = world.board.versions("m")[1].error
    assert error is not None
    assert error.code is Code.INTERNAL
    assert "surprise" in error.message
    world.want(1, 2)
    world.reach(_is(world, v2=State.AVAILABLE, v1=State.END))


def test_what_is_no_longer_wanted_while_it_loads_is_unloaded_afterwards() -> None:
    """And wanting it again meanwhile keeps it."""
    world = World(LoadingPolicy(load_threads=1, unload_threads=0, max_retries=0, retry_seconds=0.0))
    world.held[1] = threading.Event()
    world.want(1)
    world.reach(_is(world, v1=State.LOADING))
    world.want()
    world.held[1].set()
    world.reach(_is(world, v1=State.END))
    world.want(1)
    world.reach(_is(world, v1=State.AVAILABLE))
    assert world.lifecycle.serves("m")
    world.lifecycle.stop()


def test_with_a_tick_one_load_or_unload_begins_at_a_time_and_an_unload_first() -> None:
    """All that are wanted are told at once; the newest loads first, and holds back no unload."""
    world = World(LoadingPolicy(load_threads=2, unload_threads=2, max_retries=0, retry_seconds=0.0, tick_seconds=0.02))
    world.held[3] = threading.Event()
    world.want(1, 2, 3)
    world.reach(_is(world, v1=State.AVAILABLE, v2=State.AVAILABLE, v3=State.LOADING))
    assert world.attempts == [3, 2, 1]
    world.want(2, 3, 4)
    world.reach(_is(world, v1=State.END, v2=State.AVAILABLE, v3=State.LOADING, v4=State.AVAILABLE))
    assert world.attempts == [3, 2, 1, 4]
    assert world.board.versions("m")[1].sequence < world.board.versions("m")[4].sequence
    world.held[3].set()
    world.reach(_is(world, v1=State.END, v2=State.AVAILABLE, v3=State.AVAILABLE, v4=State.AVAILABLE))
    world.lifecycle.stop()


def test_the_memory_of_many_is_given_back_once_and_before_the_last_of_them_has_ended(world: World) -> None:
    """It was done after each, which took two thirds of the time of unloading thousands."""
    everything = tuple(range(1, 21))
    world.want(*everything)
    world.reach(_is(world, **{f"v{version}": State.AVAILABLE for version in everything}))
    world.want(1)
    world.reach(lambda: world.ended() == len(everything) - 1)
    (ended,) = world.given_back
    assert ended < len(everything) - 1


def test_the_memory_of_a_load_that_failed_is_given_back(world: World) -> None:
    """Whatever it had taken until then."""
    world.failing[1] = StatusError(Code.DATA_LOSS, "cut")
    world.want(1)
    world.reach(_is(world, v1=State.END))
    assert world.given_back == [0]
