"""The neighbour budget, on a clock that stands until it is moved."""

from __future__ import annotations

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.errors import NodeUnavailable
from serving.node.neighbours import Budget, NeighbourPace
from tests.unit.node.world import Node

FAST, SLOW = 0.010, 0.200


class World:
    """A gateway whose answers the test counts up."""

    def __init__(self, factor: float = 2, patience: float = 30) -> None:
        self.clock = ManualClock()
        self.answered: dict[float, int] = {}
        self.down = False
        self.pace = NeighbourPace(Budget(factor=factor, floor=0.020, patience=patience), self._latencies, self.clock)

    def _latencies(self) -> dict[float, int]:
        if self.down:
            raise NodeUnavailable("gone")
        return dict(self.answered)

    def answer(self, seconds: float, count: int = 200) -> None:
        self.answered[seconds] = self.answered.get(seconds, 0) + count

    def quiet(self, seconds: float = FAST) -> None:
        """Half a minute in which nothing loads."""
        for _ in range(6):
            self.room(0)
            self.answer(seconds)
            self.clock.advance(5)
        self.room(0)

    def room(self, waiting: int = 100, under_way: int = 0) -> int:
        self.pace.look(busy=bool(waiting or under_way))
        return self.pace.room(waiting=waiting, under_way=under_way)

    def look(self, seconds: float, *, under_way: int = 4) -> int:
        """One more look later, with answers that took so long since the last."""
        self.answer(seconds)
        self.clock.advance(0.6)
        return self.room(under_way=under_way)


def test_loads_are_few_at_first_and_more_while_the_neighbours_answer_as_before():
    world = World()
    world.quiet()
    assert [world.room(), world.look(FAST, under_way=0), world.look(FAST, under_way=0)] == [8, 16, 32]
    assert world.look(FAST, under_way=30) == 34
    assert world.look(FAST, under_way=60) == 4
    assert world.look(FAST, under_way=64) == 0


def test_loads_wait_while_the_neighbours_are_slow_and_go_on_when_they_are_not():
    world = World()
    world.quiet()
    world.room()
    assert world.look(SLOW) == 0
    assert world.pace.holding
    world.clock.advance(3)  # what was slow is past
    assert world.look(FAST) > 0
    assert not world.pace.holding
    assert world.pace.take() == [
        (
            "loads held",
            "99 % of the neighbours' answers took up to 200 ms, and up to 10 ms before; 20 ms are allowed",
        ),
        ("loads go on", "after 3.6 s: the neighbours answer as before"),
    ]
    assert world.pace.take() == []


def test_they_go_on_with_half_as_many():
    world = World()
    world.quiet()
    world.room()
    for _ in range(3):
        world.look(FAST)
    assert world.look(SLOW) == 0
    world.clock.advance(3.1)
    assert world.look(FAST, under_way=0) == 64  # 64, halved, doubled again by the look that found them well


def test_one_busy_period_waits_no_longer_than_its_patience():
    world = World(patience=10)
    world.quiet()
    world.room()
    waited = 0
    while world.look(SLOW) == 0:
        waited += 1
    assert 10 / 0.6 <= waited + 1 <= 10 / 0.6 + 2
    assert world.look(SLOW) == 100  # the rest at full pace
    assert world.pace.take()[-1][1].endswith("the wait that one busy period may cost is over")
    world.quiet()
    world.room()
    assert world.look(SLOW) == 0  # the next period has its own


@pytest.mark.parametrize("factor", [0, 2])
def test_nobody_waits_for_neighbours_that_are_not_asked_or_not_known(factor: float):
    world = World(factor=factor)
    if factor:
        world.down = True
    world.quiet()
    assert world.room() == 100
    assert world.look(SLOW) == 100
    assert world.pace.take() == []


def test_too_few_answers_say_nothing():
    world = World()
    world.quiet()
    world.room()
    world.answer(SLOW, count=20)
    world.clock.advance(0.6)
    assert world.room(under_way=4) == 12
    unknown = World()
    assert unknown.room() == 100  # nobody was served before either


def test_what_is_fast_anyway_is_never_too_slow():
    world = World()
    world.quiet(0.001)
    world.room()
    assert world.look(0.015) > 0  # fifteen times as long, and below the floor of 20 ms
    assert world.look(0.030) == 0


def test_a_few_slow_answers_are_within_a_99th_percentile():
    world = World()
    world.quiet()
    world.room()
    world.answer(SLOW, count=1)
    assert world.look(FAST) > 0
    world.answer(SLOW, count=10)
    assert world.look(FAST) == 0


def test_a_gateway_that_was_started_anew_counts_from_nothing():
    world = World()
    world.quiet()
    world.room()
    world.answered = {}
    assert world.look(FAST) > 0
    assert world.look(SLOW) == 0


def test_a_node_holds_its_loads_for_the_neighbours_and_says_so(node: Node):
    names = [f"c{number:02}.default" for number in range(20)]
    for name in names:
        node.put(name, 1)
    node.put("aa.default", 1)
    served = {"aa.default": ([1], {"stable": 1})}
    node.desire(served)
    node.settle()

    def served_in(seconds: float, passes: int) -> None:
        for _ in range(passes):
            node.gateway.answered[seconds] = node.gateway.answered.get(seconds, 0) + 200
            node.clock.advance(1)
            node.step()

    served_in(FAST, 12)
    for name in names:
        node.server.faults.never_loads.add((name, 1))
    node.desire(served | {name: ([1], {"stable": 1}) for name in names[:4]})
    node.step(2)
    served_in(SLOW, 2)
    node.desire(served | {name: ([1], {"stable": 1}) for name in names})
    served_in(SLOW, 5)
    assert len({entry.name for entry in node.server.given[-1]}) == 5  # none beside those under way
    assert "loads held" in {change.what for change in node.engine.journal.since()}
    served_in(FAST, 8)
    assert len({entry.name for entry in node.server.given[-1]}) > 5
    assert "loads go on" in {change.what for change in node.engine.journal.since()}
