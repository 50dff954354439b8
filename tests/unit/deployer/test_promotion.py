"""The group commit with its barrier: load, flip, prove, settle, and back."""

from __future__ import annotations

import pytest

from roost.contracts.desired import DesiredState
from roost.contracts.events import Command, OperationReported
from roost.contracts.ids import config_object, desired_object
from roost.contracts.policy import Approval, Policy, Rules
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World


def retrained(world: World, run: str, **change: object) -> str:
    world.clock.advance(60)
    return world.deploy(run=run, **change)


def test_many_rollouts_go_live_in_few_generations(world: World) -> None:
    ids = [world.receive(world.stage(f"c{index}")) for index in range(40)]
    world.run(200)
    assert {world.rollout(one).phase for one in ids} == {Phase.LIVE}
    assert world.desired().generation <= 6


def test_a_generation_is_written_at_most_once_a_second_after_a_burst_of_two(world: World) -> None:
    started = world.clock.monotonic()
    for index in range(12):
        world.deploy(f"c{index}")
    written = world.desired().generation
    assert written <= 2 + (world.clock.monotonic() - started) + 1


def test_the_previous_version_stays_loaded_until_the_bake_is_over(world: World) -> None:
    first = world.deploy()
    world.clock.advance(601)
    world.run()
    assert world.rollout(first).phase is Phase.SETTLED
    second = retrained(world, "r2")
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert entry.labels == {"stable": 2, "previous": 1}
    assert world.rollout(second).phase is Phase.LIVE
    assert world.rollout(second).previous_version == 1
    world.clock.advance(601)
    world.run()
    assert world.rollout(second).phase is Phase.SETTLED
    settled = world.desired().model("ua.default")
    assert settled is not None
    assert [one.version for one in settled.versions] == [2]
    assert settled.labels == {"stable": 2}


def test_the_policy_leaves_the_previous_version_its_share_of_requests_while_the_new_one_bakes() -> None:
    world = World(Policy(customers={"ua": {"previous_percent": 25}}))
    world.deploy()
    retrained(world, "r2")
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert entry.labels == {"stable": 2, "previous": 1}
    assert entry.split == {"previous": 25}
    world.clock.advance(601)
    world.run()
    settled = world.desired().model("ua.default")
    assert settled is not None
    assert settled.split == {}


def test_a_newer_rollout_ends_the_bake_of_the_one_before_it(world: World) -> None:
    first = world.deploy()
    second = retrained(world, "r2")
    assert world.rollout(first).phase is Phase.SETTLED
    assert "ends early" in world.rollout(first).reason
    assert world.rollout(second).phase is Phase.LIVE


def test_a_refused_candidate_does_not_cost_the_live_version_its_instant_rollback(world: World) -> None:
    world.deploy()
    world.clock.advance(601)
    world.run()
    second = retrained(world, "r2")
    world.canary.fail_load("ua.default", 3, "broken")
    third = retrained(world, "r3")
    assert world.rollout(third).phase is Phase.REJECTED
    assert world.rollout(second).phase is Phase.SETTLED
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert entry.labels == {"stable": 2, "previous": 1}
    generation = world.desired().generation
    world.command(Command.ROLLBACK, customer="ua")
    world.run()
    assert world.rollout(second).phase is Phase.ROLLED_BACK
    assert world.desired().generation == generation + 1


def test_what_a_bake_that_ended_early_left_loaded_goes_at_the_bakes_own_end(world: World) -> None:
    world.deploy()
    world.clock.advance(601)
    world.run()
    retrained(world, "r2")
    world.canary.fail_load("ua.default", 3, "broken")
    retrained(world, "r3")
    world.start_deployer()
    assert world.promoter.step().wait_seconds == pytest.approx(540, abs=5)
    world.clock.advance(541)
    world.run()
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert [one.version for one in entry.versions] == [2]


def test_what_the_ledger_knows_nothing_of_is_left_as_it_is(world: World) -> None:
    """A ledger that was just rebuilt must not unload anything."""
    from deployer.domain.planner import Flip, Load
    from roost.contracts.desired import DesiredVersion

    store = world.desired_store("default")
    versions = [DesiredVersion(version=n, digest="sha256:" + "a" * 64, rollout_id="x") for n in (1, 2)]
    store.commit([*(Load(name="zz.default", version=one) for one in versions), Flip(name="zz.default", version=2)], "r")
    world.deploy()
    world.clock.advance(2000)
    world.run()
    entry = world.desired().model("zz.default")
    assert entry is not None
    assert len(entry.versions) == 2


def test_a_model_that_fails_on_one_node_rolls_back_and_the_others_go_on(world: World) -> None:
    world.deploy("ua")
    world.clock.advance(601)
    world.run()
    world.pool.fail_load("ua.default", 2, "out of memory", node="default-2")
    bad = world.receive(world.stage("ua", "r2"))
    good = world.receive(world.stage("dl", "r1"))
    world.run(100)
    assert world.rollout(bad).phase is Phase.ROLLED_BACK
    assert "default-2" in world.ledger.history(bad)[-2].reason
    assert "out of memory" in world.ledger.history(bad)[-2].reason
    assert world.rollout(good).phase is Phase.LIVE
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert [one.version for one in entry.versions] == [1]
    assert all(state.serves("ua.default", 1) for state in world.states())


def test_a_node_that_is_down_is_named_and_the_others_go_live(world: World) -> None:
    world.pool.faults("default-3").down = True
    rollout_id = world.deploy()
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert world.ledger.history(rollout_id)[-1].facts["absent"] == ["default-3"]
    assert "absent: default-3" in world.rollout(rollout_id).reason
    world.pool.faults("default-3").down = False
    world.clock.advance(20)
    assert world.reconciler.step() == ("default-3",)
    assert world.reconciler.step() == ()
    assert all(state.serves("ua.default", 1) for state in world.states())


def test_a_promotion_without_any_ready_node_waits_past_its_deadline_and_goes_on_with_the_first(world: World) -> None:
    """An outage of the whole pool sent every promotion to HALTED, each to be retried by a person."""
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").down = True
    rollout_id = world.receive(world.stage())
    world.run(30)
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    for _ in range(2):
        world.clock.advance(301)
        world.run(30)
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    told = [one.event.data for one in world.ledger.recent_events(limit=100)]
    late = [one for one in told if isinstance(one, OperationReported) and one.what == "rollout.late"]
    assert [(one.customer, one.pool) for one in late] == [("ua", "default")]
    assert "no ready node" in late[0].reason
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").down = False
    # The first look at nodes that are back finds a deadline long past: no reason to take anything back.
    world.clock.advance(20)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_slow_load_is_waited_for_and_a_hanging_one_is_taken_back_at_the_deadline(world: World) -> None:
    world.pool.faults("default-2").slow_seconds = 20.0
    rollout_id = world.receive(world.stage())
    world.run(200)
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_node_that_never_settles_makes_the_rollout_go_back_at_its_deadline() -> None:
    world = World(nodes=1)
    world.promoter.step()
    world.receive(world.stage("dl"))
    world.run()  # the node was seen ready
    world.pool.faults("default-1").hangs = True
    rollout_id = world.receive(world.stage())
    world.run(30)
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    world.clock.advance(400)
    world.run(100)
    assert "Not done within 300 s" in world.ledger.history(rollout_id)[-1].reason
    assert world.rollout(rollout_id).phase is Phase.ROLLING_BACK


def test_a_lost_race_is_planned_again_on_what_is_there(world: World) -> None:
    world.deploy("dl")
    name = desired_object("default")
    content, stored = world.memory.read(name)
    state = DesiredState.decoded(content)
    other = DesiredState(pool="default", generation=state.generation + 1, models=state.models, reason="somebody else")
    world.memory.write(name, other.encoded(), if_generation=stored.generation)
    rollout_id = world.deploy("ua")
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert world.desired().model("dl.default") is not None
    assert world.desired().generation == other.generation + 2


def test_a_write_whose_response_was_lost_is_found_and_not_repeated(world: World) -> None:
    rollout_id = world.receive(world.stage())
    while world.worker.step():
        pass
    world.pace(world.canary_pool.step)
    while world.rollout(rollout_id).phase is not Phase.PROMOTING:
        world.pace(world.canary_pool.step)
    world.memory.lost_responses.add(desired_object("default"))
    from roost.contracts.errors import StorageUnavailable

    with pytest.raises(StorageUnavailable):
        world.promoter.step()
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert world.desired().generation == 2


def test_the_canary_keeps_what_passed_until_it_is_live(world: World) -> None:
    rollout_id = world.receive(world.stage())
    while world.worker.step():
        pass
    while world.rollout(rollout_id).phase is not Phase.PROMOTING:
        world.pace(world.canary_pool.step)
    world.clock.advance(5)
    world.pace(world.canary_pool.step)
    assert [model.name for model in world.desired("canary").models] == ["ua.default"]
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert not world.desired("canary").models


def test_what_waits_long_for_a_pool_without_nodes_leaves_the_canary(world: World) -> None:
    """A night of retraining while the pool was down would have filled the canary's memory with what had passed."""
    rollout_id = world.receive(world.stage())
    while world.worker.step():
        pass
    while world.rollout(rollout_id).phase is not Phase.PROMOTING:
        world.pace(world.canary_pool.step)
    for seconds, left in ((59, 1), (2, 0)):
        world.clock.advance(seconds)
        world.pace(world.canary_pool.step)
        assert len(world.desired("canary").models) == left
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_deployer_killed_between_any_two_steps_goes_on_where_it_was() -> None:
    for kill_after in range(1, 12):
        world = World()
        rollout_id = world.receive(world.stage())
        done = 0
        for _ in range(60):
            for step in (world.worker.step, world.canary_pool.step, world.promoter.step):
                step()
                done += 1
                if done == kill_after:
                    world.start_deployer()
            world.clock.advance(0.2)
        assert world.rollout(rollout_id).phase is Phase.LIVE, kill_after
        assert world.desired().generation == 2, kill_after
        assert [line.sequence for line in world.ledger.history(rollout_id)] == [1, 2, 3, 4, 5, 6]


def test_two_deployers_lose_no_update(world: World) -> None:
    from deployer.promotion.promoter import Promoter

    second = Promoter(world.parts, world.desired_store("default"), world.nodes_of("default"))
    ids = [world.receive(world.stage(f"c{index}")) for index in range(6)]
    for _ in range(60):
        while world.worker.step():
            pass
        world.pace(world.canary_pool.step)
        world.pace(world.promoter.step)
        world.pace(second.step)
        world.clock.advance(0.5)
    assert {world.rollout(one).phase for one in ids} == {Phase.LIVE}
    assert len(world.desired().models) == 6


def test_a_deployer_that_slept_does_not_halt_what_another_one_promoted(world: World) -> None:
    """A stale view of the desired state once looked like a pool that no longer answers with the live version."""
    first = world.deploy()
    sleeper = world.promoter
    world.start_deployer()
    second = retrained(world, "r2")
    assert world.rollout(first).phase is Phase.SETTLED
    world.clock.advance(601)
    for _ in range(5):
        world.pace(sleeper.step)
        world.clock.advance(1)
    assert world.rollout(second).phase is Phase.SETTLED


def test_a_live_rollout_whose_version_somebody_took_out_halts(world: World) -> None:
    rollout_id = world.deploy()
    name = desired_object("default")
    _, stored = world.memory.read(name)
    empty = DesiredState(pool="default", generation=99)
    world.memory.write(name, empty.encoded(), if_generation=stored.generation)
    world.clock.advance(601)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.HALTED


def test_a_node_that_appears_later_serves_the_current_generation(world: World) -> None:
    world.deploy()
    world.pool.add_node()
    assert len(world.states()) == 4
    assert all(state.serves("ua.default", 1) for state in world.states())


def test_an_approval_that_the_policy_asks_for_is_waited_for() -> None:
    world = World(Policy(rules=Rules(approval=Approval.ALWAYS)))
    rollout_id = world.deploy()
    assert world.rollout(rollout_id).phase is Phase.AWAITING_APPROVAL
    assert "is being promoted" in world.command(Command.APPROVE, rollout_id=rollout_id)
    world.run()
    row = world.rollout(rollout_id)
    assert (row.phase, row.approved_by) == (Phase.LIVE, "ann")


def test_an_approval_that_nobody_gives_expires() -> None:
    world = World(Policy(rules=Rules(approval=Approval.FIRST_MODEL)))
    rollout_id = world.deploy()
    world.clock.advance(86_401)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.CANCELLED


def test_a_newer_candidate_supersedes_one_that_waits_for_a_person() -> None:
    world = World(Policy(rules=Rules(approval=Approval.ALWAYS)))
    first = world.deploy()
    second = retrained(world, "r2")
    assert world.rollout(first).phase is Phase.SUPERSEDED
    assert world.rollout(second).phase is Phase.AWAITING_APPROVAL


def test_the_stock_config_follows_the_desired_state(world: World) -> None:
    world.deploy()
    world.reconciler.step()
    text = world.memory.read(config_object("default"))[0].decode()
    assert 'base_path: "gs://roost/models/ua/default"' in text
    assert 'name: "ua.default"' in text
    assert 'key: "stable"' in text
