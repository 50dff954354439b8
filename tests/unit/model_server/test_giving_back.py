"""Memory goes back to the system once for many versions, and never waits for long."""

import pytest

from serving.model_server.giving_back import GivingBack


class World:
    """Counts how often memory was given back, at instants that a test decides."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = 0
        self.memory = GivingBack(self._give_back, seconds=5.0, monotonic=lambda: self.now)

    def _give_back(self) -> None:
        self.times += 1


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_freed_alone_is_given_back_at_once(world: World) -> None:
    world.memory.freed(more=False)
    world.memory.freed(more=False)
    assert world.times == 2


def test_while_more_is_freed_it_is_given_back_every_few_seconds_and_at_the_end(world: World) -> None:
    given = []
    for _ in range(12):
        world.memory.freed(more=True)
        world.now += 1.0
        given.append(world.times)
    world.memory.freed(more=False)
    assert given == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2]
    assert world.times == 3


def test_what_waits_for_more_that_never_comes_is_given_back_once(world: World) -> None:
    world.memory.settle()
    assert world.times == 0
    world.memory.freed(more=True)
    world.memory.settle()
    world.memory.settle()
    assert world.times == 1
