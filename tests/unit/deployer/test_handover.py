"""One deployer takes a pool over from another that stood by, stood still or was away."""

from __future__ import annotations

from deployer.promotion.promoter import Promoter
from deployer.rollout.workers import Worker
from roost.contracts.errors import StorageUnavailable
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World


def standby(world: World) -> Promoter:
    """Another deployer's promoter, which has run as long as this one and held nothing."""
    return Promoter(world.parts, world.written("default", world.fence), world.nodes_of("default"))


def promoting(world: World, run: str = "r1") -> str:
    rollout_id = world.receive(world.stage("ua", run))
    while world.rollout(rollout_id).phase is not Phase.PROMOTING:
        world.worker.step()
        world.pace(world.canary_pool.step)
    return rollout_id


def test_who_takes_a_pool_over_does_not_take_back_what_another_was_kept_from(world: World) -> None:
    """A standby counted the wait from its own start: it rolled back at its first look what an outage had held up."""
    world.deploy("ua", "before")
    first, other = world.promoter, standby(world)
    world.clock.advance(601)
    world.promoter = other
    world.run()  # it has seen the nodes ready
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").hangs = True
    rollout_id = promoting(world)
    first.take_over()
    world.pace(first.step)
    # The first one's database is away for longer than a promotion may take, and then the process ends.
    world.clock.advance(400)
    other.take_over()
    world.pace(other.step)
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").hangs = False
    world.run()
    assert world.phases(rollout_id)[-2:] == [Phase.PROMOTING, Phase.LIVE]


def test_who_gets_a_pool_back_counts_no_wait_of_its_earlier_time(world: World) -> None:
    world.deploy("ua", "before")
    world.clock.advance(601)
    world.run()
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").hangs = True
    rollout_id = promoting(world)
    first, other = world.promoter, standby(world)
    first.step()
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    # Another one has it for long, and what it writes and waits for is not this one's to see.
    world.clock.advance(250)
    other.take_over()
    other.step()
    world.clock.advance(100)
    first.take_over()
    first.step()
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    # But a wait of its own has an end.
    world.clock.advance(301)
    for _ in range(3):
        world.pace(first.step)
    assert "Not done within 300 s" in world.rollout(rollout_id).reason


def test_a_step_that_takes_longer_than_its_lease_is_done_by_whoever_ends_first(world: World) -> None:
    """A lease shorter than a step costs the work of several, never the rollout."""
    rollout_id = world.receive(world.stage())
    second = Worker(world.parts, world.controller, name="second", lease_seconds=3)
    first = Worker(world.parts, world.controller, name="first", lease_seconds=3)
    stat, taken = world.memory.list, []

    def slow(prefix: str) -> object:
        """The first one is in the middle of its step when its lease ends, and another takes the row."""
        if not taken:
            taken.append(prefix)
            world.clock.advance(4)
            assert second.step()
            assert world.rollout(rollout_id).phase is Phase.STORED
        return stat(prefix)

    world.memory.list = slow  # type: ignore[method-assign, assignment]  # a slow store
    assert first.step()
    assert world.phases(rollout_id) == [Phase.RECEIVED, Phase.STORED]
    # What the loser gives back is not what the winner, or the next one, holds.
    assert world.worker.step()
    world.run()
    assert world.phases(rollout_id)[-1] == Phase.LIVE
    assert world.rollout(rollout_id).version == 1


def test_an_outage_in_a_step_whose_lease_has_ended_frees_nobody_elses_row(world: World) -> None:
    rollout_id = world.receive(world.stage())
    first, second = (Worker(world.parts, world.controller, name=name, lease_seconds=3) for name in ("first", "second"))

    def away(prefix: str) -> object:
        world.clock.advance(4)
        [held] = world.ledger.claim(frozenset({Phase.RECEIVED}), owner="second", limit=1, lease_seconds=3)
        assert held.id == rollout_id
        raise StorageUnavailable("away")

    found, world.memory.list = world.memory.list, away  # type: ignore[method-assign, assignment]  # a store that goes away
    assert first.step()
    world.memory.list = found  # type: ignore[method-assign]
    assert not first.step()
    world.clock.advance(4)
    assert second.step()
    assert world.rollout(rollout_id).phase is Phase.STORED
