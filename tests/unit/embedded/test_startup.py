from __future__ import annotations

from pathlib import Path

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.embedded.observation import Observation, PartState
from roost.embedded.part import Part
from roost.embedded.startup import PartFailed, Startup, last_lines
from roost.embedded.state_dir import StateDir

PARTS = (
    Part(name="postgres", command=("x",)),
    Part(name="migrations", command=("x",), after=("postgres",), step=True),
    Part(name="broker", command=("x",)),
    Part(
        name="deployer",
        command=("x",),
        after=("migrations", "broker"),
    ),
)


class Machine:
    """Parts as a test sets them; remembers which were started."""

    def __init__(self, tmp_path: Path) -> None:
        self.state = StateDir.at(tmp_path)
        self.state.prepare()
        self.started: list[str] = []
        self.now = dict.fromkeys((part.name for part in PARTS), PartState.WAITING)
        self.details: dict[str, str] = {}
        self.births: dict[str, float] = {}
        self.clock = ManualClock()
        self.startup = Startup(self.state, PARTS, self, self.clock)

    def start_part(self, name: str) -> None:
        self.started.append(name)
        self.now[name] = PartState.STARTING

    def advance(self, **states: PartState) -> bool:
        self.now |= states
        return self.startup.advance(
            [
                Observation(name=name, state=state, detail=self.details.get(name, ""), started=self.births.get(name, 0))
                for name, state in self.now.items()
            ]
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_waits_for_nothing_starts_at_once_and_together(machine: Machine) -> None:
    assert not machine.advance()
    assert machine.started == ["postgres", "broker"]


def test_a_part_starts_when_all_that_it_needs_is_ready(machine: Machine) -> None:
    machine.advance()
    machine.advance(postgres=PartState.READY)
    assert machine.started == ["postgres", "broker", "migrations"]
    machine.advance(migrations=PartState.DONE)
    assert "deployer" not in machine.started
    machine.advance(broker=PartState.READY)
    assert machine.started[-1] == "deployer"


def test_a_part_that_was_ready_once_may_take_its_time_later(machine: Machine) -> None:
    machine.advance()
    machine.advance(broker=PartState.READY)
    machine.clock.advance(300)
    machine.now["postgres"] = PartState.READY
    assert not machine.advance(broker=PartState.STARTING)


def test_a_part_lets_others_go_first_only_where_they_are_there(machine: Machine) -> None:
    first = Part(name="first", command=("x",))
    second = Part(name="second", command=("x",), behind=("first", "not-of-this-stack"))
    startup = Startup(machine.state, (first, second), machine, machine.clock)
    seen = {name: Observation(name=name, state=PartState.WAITING) for name in ("first", "second")}
    startup.advance(list(seen.values()))
    assert machine.started == ["first"]
    seen["first"] = Observation(name="first", state=PartState.READY)
    startup.advance(list(seen.values()))
    assert machine.started == ["first", "second"]


def test_all_is_ready_when_every_part_is_and_each_knows_its_seconds(machine: Machine) -> None:
    machine.advance()
    machine.clock.advance(2.5)
    machine.advance(postgres=PartState.READY, broker=PartState.READY)
    machine.advance(migrations=PartState.DONE)
    assert machine.advance(deployer=PartState.READY)
    assert machine.startup.seconds["postgres"] == pytest.approx(2.5)


def test_a_step_that_ends_badly_fails_the_start_and_its_words_are_quoted(machine: Machine) -> None:
    machine.state.log("migrations").write_text("from the last time\n")
    machine.advance()
    machine.advance(postgres=PartState.READY)
    with machine.state.log("migrations").open("a") as log:
        log.write("relation rollouts exists\n")
    machine.details["migrations"] = "ended with code 1"
    with pytest.raises(PartFailed) as failure:
        machine.advance(migrations=PartState.FAILED)
    text = str(failure.value)
    assert text.startswith("migrations ended with code 1")
    assert "| relation rollouts exists" in text
    assert "from the last time" not in text
    assert "remedy: " in text


def test_a_part_that_dies_a_third_time_fails_the_start(machine: Machine) -> None:
    machine.advance()
    for birth in (1.0, 2.0):
        machine.births["broker"] = birth
        machine.advance(broker=PartState.RESTARTING)
        machine.advance(broker=PartState.STARTING)
    machine.births["broker"] = 3.0
    with pytest.raises(PartFailed, match="broker ended 3 times"):
        machine.advance(broker=PartState.RESTARTING)


def test_a_part_that_dies_once_may_come_up_all_the_same(machine: Machine) -> None:
    machine.advance()
    machine.births["broker"] = 1.0
    machine.advance(broker=PartState.RESTARTING)
    machine.births["broker"] = 2.0
    machine.advance(broker=PartState.READY)
    assert "broker" in machine.startup.seconds


def test_a_part_that_is_not_ready_in_its_time_is_named_with_what_is_missing(machine: Machine) -> None:
    machine.advance()
    machine.clock.advance(121)
    machine.details["broker"] = "its topics are not made yet"
    machine.now["postgres"] = PartState.READY
    with pytest.raises(PartFailed, match=r"broker is not ready after 120 s: its topics are not made yet"):
        machine.advance()


def test_the_last_lines_of_a_log_that_is_not_there_are_none(machine: Machine) -> None:
    assert last_lines(machine.state, "nobody", 5) == []


def test_a_rotated_log_is_read_from_its_beginning(machine: Machine) -> None:
    machine.state.log("broker").write_text("new\n")
    assert last_lines(machine.state, "broker", 5, skip=10_000) == ["new"]
