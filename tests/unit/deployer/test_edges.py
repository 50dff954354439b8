"""Corners of the way: races, late comers, and dependencies that fail in the middle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from deployer.rollout.canary import Candidate
from deployer.rollout.outcome import Later, Moved
from roost.contracts.errors import Conflict, NodeUnavailable, Permanent, StorageUnavailable
from roost.contracts.events import Command, OperationReported
from roost.contracts.ids import config_object
from roost.contracts.manifest import GOLDEN_NAME
from roost.contracts.policy import Approval, PhaseDeadlines, Policy, Rules
from roost.contracts.rollout import Phase, Rollout
from tests.unit.deployer.world import World


def to_phase(world: World, rollout_id: str, phase: Phase) -> None:
    """Step by step, the canary pool last, until the rollout is there."""
    for _ in range(30):
        if world.rollout(rollout_id).phase is phase:
            return
        if not world.worker.step():
            world.pace(world.canary_pool.step)
    raise AssertionError(world.rollout(rollout_id))


def test_a_step_that_somebody_else_took_first_is_a_later_and_no_error(world: World) -> None:
    rollout_id = world.receive(world.stage())
    stale = world.rollout(rollout_id)
    assert isinstance(world.controller.advance(rollout_id), Moved)
    found = world.controller.step(stale)
    assert isinstance(found, Later)
    assert "changed since it was read" in found.reason


def test_a_phase_of_the_pool_is_no_workers_phase(world: World) -> None:
    rollout_id = world.deploy()
    found = world.controller.advance(rollout_id)
    assert isinstance(found, Later)
    assert "no worker's phase" in found.reason


def test_a_candidate_waits_while_another_one_of_its_name_is_measured(world: World) -> None:
    first = world.receive(world.stage("ua", "r1"))
    to_phase(world, first, Phase.VETTED)
    world.controller.advance(first)
    assert world.rollout(first).phase is Phase.CANARY
    world.clock.advance(1)
    second = world.receive(world.stage("ua", "r2"))
    for _ in range(3):
        world.controller.advance(second)
    assert world.rollout(second).phase is Phase.VETTED
    world.run()
    assert world.rollout(first).phase is Phase.SETTLED
    assert world.rollout(second).phase is Phase.LIVE


def test_of_two_waiting_candidates_only_the_newer_one_is_measured(world: World) -> None:
    ids = []
    for run in ("r1", "r2"):
        world.clock.advance(1)
        ids.append(world.receive(world.stage("ua", run)))
    for rollout_id in ids:
        world.controller.advance(rollout_id)
        world.controller.advance(rollout_id)
    world.run()
    assert [world.rollout(one).phase for one in ids] == [Phase.SUPERSEDED, Phase.LIVE]


def test_a_candidate_that_became_old_while_it_waited_is_superseded(world: World) -> None:
    """Out of order: the older one is vetted, then a newer one goes live, then the older one's turn comes."""
    old = world.receive(world.stage("ua", "r1"))
    world.controller.advance(old)
    world.controller.advance(old)
    world.command(Command.PAUSE, rollout_id=old)
    world.clock.advance(1)
    assert world.rollout(world.deploy("ua", "r2")).phase is Phase.LIVE
    world.command(Command.RESUME, rollout_id=old)
    world.clock.advance(6)
    world.run()
    assert world.rollout(old).phase is Phase.SUPERSEDED


def test_a_waiting_approval_is_superseded_by_what_went_live_meanwhile() -> None:
    world = World(Policy(rules=Rules(approval=Approval.ALWAYS)))
    old = world.deploy("ua", "r1")
    held = world.rollout(old)
    newer = held.model_copy(
        update={
            "id": "newer",
            "digest": "sha256:" + "b" * 64,
            "phase": Phase.SETTLED,
            "version": 9,
            "trained_at": world.later(60),
        }
    )
    world.ledger.receive(newer, event_id="newer", events=[])
    assert "was trained later" in world.command(Command.APPROVE, rollout_id=old)
    world.clock.advance(6)
    world.run()
    assert world.rollout(old).phase is Phase.SUPERSEDED


def test_a_measured_candidate_is_superseded_by_what_went_live_meanwhile(world: World) -> None:
    old = world.receive(world.stage("ua", "r1"))
    to_phase(world, old, Phase.VETTED)
    world.controller.advance(old)
    newer = world.rollout(old).model_copy(
        update={
            "id": "newer",
            "digest": "sha256:" + "b" * 64,
            "phase": Phase.SETTLED,
            "version": 9,
            "trained_at": world.later(60),
        }
    )
    world.ledger.receive(newer, event_id="newer", events=[])
    world.run()
    assert world.rollout(old).phase is Phase.SUPERSEDED


def test_the_stored_artifact_vanishing_under_the_canary_rejects_it(world: World) -> None:
    rollout_id = world.receive(world.stage())
    to_phase(world, rollout_id, Phase.VETTED)
    world.controller.advance(rollout_id)
    found = world.memory.stat("models/ua/default/1/MANIFEST.json")
    assert found is not None
    world.memory.corrupt(found.name, b"{")
    world.canary.faults("canary-1").down = True
    world.clock.advance(400)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.REJECTED
    assert "MANIFEST.json is truncated" in world.rollout(rollout_id).reason


def test_an_outage_while_a_candidate_is_measured_is_tried_again(world: World) -> None:
    rollout_id = world.receive(world.stage())
    to_phase(world, rollout_id, Phase.VETTED)
    world.controller.advance(rollout_id)
    calls = 0
    judge = world.canary_pool._judge

    def flaky(rollout: object, candidate: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StorageUnavailable("503")
        return judge(rollout, candidate)

    world.canary_pool._judge = flaky
    for _ in range(30):
        world.pace(world.canary_pool.step)
        world.clock.advance(0.2)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert calls == 2


def test_a_candidate_that_moved_while_it_was_measured_keeps_its_new_phase(world: World) -> None:
    rollout_id = world.receive(world.stage())
    to_phase(world, rollout_id, Phase.VETTED)
    world.controller.advance(rollout_id)
    judge = world.canary_pool._judge

    def slow(rollout: object, candidate: object) -> object:
        step = judge(rollout, candidate)
        world.command(Command.REJECT, rollout_id=rollout_id)
        return step

    world.canary_pool._judge = slow
    world.run()
    assert world.rollout(rollout_id).phase is Phase.CANCELLED
    assert world.desired().models == () if world.memory.stat("fleet/default/desired.json") else True


def test_a_bug_that_one_candidate_meets_rests_it_and_the_others_go_on(world: World) -> None:
    odd, fine = world.receive(world.stage("odd")), world.receive(world.stage("fine"))
    while world.worker.step():
        pass
    judge = world.canary_pool._judge

    def broken(rollout: Rollout, candidate: Candidate) -> object:
        if rollout.customer == "odd":
            raise ZeroDivisionError
        return judge(rollout, candidate)

    world.canary_pool._judge = broken
    world.run()
    assert world.rollout(fine).phase is Phase.LIVE
    assert world.rollout(odd).phase is Phase.CANARY
    told = [row.event.data for row in world.ledger.unpublished(1000)]
    bugs = [one for one in told if isinstance(one, OperationReported) and one.what == "rollout.bug"]
    assert ["ZeroDivisionError" in one.reason for one in bugs] == [True]


def test_a_candidate_that_can_never_be_measured_is_refused_alone(world: World) -> None:
    odd, fine = world.receive(world.stage("odd")), world.receive(world.stage("fine"))
    while world.worker.step():
        pass
    judge = world.canary_pool._judge

    def refusing(rollout: Rollout, candidate: Candidate) -> object:
        if rollout.customer == "odd":
            raise Permanent("the recorded requests are gone")
        return judge(rollout, candidate)

    world.canary_pool._judge = refusing
    world.run()
    assert world.rollout(fine).phase is Phase.LIVE
    assert (world.rollout(odd).phase, world.rollout(odd).reason) == (Phase.REJECTED, "the recorded requests are gone")


@pytest.mark.parametrize(
    ("error", "phase"), [(Permanent("no such bucket"), Phase.REJECTED), (KeyError("a bug"), Phase.RECEIVED)]
)
def test_a_row_that_fails_for_good_or_by_a_bug_stops_nobody_else(world: World, error: Exception, phase: Phase) -> None:
    # One row that ended the process was taken first by the next process, and so on: no customer's model got on.
    odd, fine = world.receive(world.stage("odd")), world.receive(world.stage("fine"))
    handler = world.controller._handlers[Phase.RECEIVED]
    advance = handler.advance

    def broken(rollout: Rollout) -> object:
        if rollout.customer == "odd":
            raise error
        return advance(rollout)

    handler.advance = broken
    world.run()
    assert world.rollout(fine).phase is Phase.LIVE
    assert world.rollout(odd).phase is phase
    del handler.advance
    world.clock.advance(61)
    world.run()
    assert world.rollout(odd).phase is (Phase.REJECTED if phase is Phase.REJECTED else Phase.LIVE)


def test_an_artifact_outside_its_staging_prefix_is_refused(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    slot = world.ledger._state.rollouts[rollout_id]
    slot.rollout = slot.rollout.model_copy(update={"artifact_uri": "gs://roost/staging/dl/default/r1/"})
    world.run()
    row = world.rollout(rollout_id)
    assert row.phase is Phase.REJECTED
    assert "gs://roost/staging/dl/default/r1/, and must be at gs://roost/staging/ua/default/r1/" in row.reason


def test_a_version_that_exists_with_other_content_is_refused(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    world.ledger.allocate_version(rollout_id)
    world.memory.write("models/ua/default/1/MANIFEST.json", b"{}", if_generation=0)
    world.run()
    assert "exists already and is another one" in world.rollout(rollout_id).reason


def test_a_file_that_vanishes_while_it_is_copied_is_named(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    listed = world.memory.list

    def listing_then_loss(prefix: str) -> object:
        found = list(listed(prefix))
        gone = next(one for one in found if one.name.endswith("saved_model.pb"))
        world.memory.delete(gone.name, if_generation=gone.generation)
        return iter(found)

    world.memory.list = listing_then_loss
    world.controller.advance(rollout_id)
    assert "saved_model.pb vanished" in world.rollout(rollout_id).reason


def test_a_manifest_whose_stored_copy_is_another_one_is_refused_by_vetting(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    world.controller.advance(rollout_id)
    other = manifest.model_copy(update={"run": manifest.run.model_copy(update={"seed": 8})})
    world.memory.corrupt("models/ua/default/1/MANIFEST.json", other.encoded())
    world.run()
    assert "The stored manifest has digest" in world.rollout(rollout_id).reason


def test_a_live_version_whose_objects_are_gone_does_not_stop_its_successor(world: World) -> None:
    world.deploy()
    found = world.memory.stat("models/ua/default/1/MANIFEST.json")
    assert found is not None
    world.memory.delete(found.name, if_generation=found.generation)
    world.clock.advance(601)
    world.run()
    assert world.rollout(world.deploy("ua", "r2")).phase is Phase.LIVE


def test_an_artifact_without_recorded_requests_asks_a_person(world: World) -> None:
    rollout_id = world.deploy(golden=[], rows=0)
    row = world.rollout(rollout_id)
    assert row.phase is Phase.AWAITING_APPROVAL
    assert "No request is recorded" in row.reason


def test_a_rollback_to_an_unknown_version_halts(world: World) -> None:
    rollout_id = world.deploy()
    slot = world.ledger._state.rollouts[rollout_id]
    slot.rollout = slot.rollout.model_copy(update={"phase": Phase.ROLLING_BACK, "previous_version": 77})
    world.run()
    assert world.rollout(rollout_id).phase is Phase.HALTED
    assert "Version 77, to return to, is not known any more" in world.rollout(rollout_id).reason


def test_an_unload_that_no_node_confirms_does_not_keep_a_rollout_from_settling() -> None:
    world = World(Policy(rules=Rules(deadlines=PhaseDeadlines(promoting=30))))
    world.deploy()
    world.clock.advance(601)
    world.run()
    second = world.deploy("ua", "r2")
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").hangs = True
    world.clock.advance(601)
    world.run(20)
    assert world.rollout(second).phase is Phase.LIVE
    world.clock.advance(31)
    world.run(20)
    assert world.rollout(second).phase is Phase.SETTLED
    assert "must unload" in world.rollout(second).reason


def test_a_pool_that_cannot_be_listed_is_waited_for(world: World) -> None:
    rollout_id = world.receive(world.stage())
    to_phase(world, rollout_id, Phase.PROMOTING)
    nodes = world.pools.nodes

    def unknown(pool: str) -> object:
        raise NodeUnavailable("no directory")

    world.pools.nodes = unknown
    for _ in range(3):
        world.pace(world.promoter.step)
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    world.pools.nodes = nodes
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_draining_node_does_not_count(world: World) -> None:
    world.pool.drain(world.pool.nodes("default")[2], deadline=1)
    rollout_id = world.deploy()
    assert world.ledger.history(rollout_id)[-1].facts["absent"] == ["default-3"]


def test_a_row_that_a_person_moved_does_not_hold_up_the_rest_of_a_pass(world: World) -> None:
    ids = [world.receive(world.stage(customer)) for customer in ("aa", "bb")]
    for rollout_id in ids:
        to_phase(world, rollout_id, Phase.PROMOTING)
    write = world.ledger.apply
    turns = 0

    def once(changes: object) -> None:
        nonlocal turns
        turns += 1
        if len(changes) == 2 or turns == 2:
            raise Conflict("somebody was first")
        write(changes)

    world.ledger.apply = once
    for _ in range(10):
        world.pace(world.promoter.step)
        world.clock.advance(1)
    assert {world.rollout(one).phase for one in ids} == {Phase.LIVE}


def test_a_command_whose_rollout_moved_under_it_is_looked_at_again() -> None:
    world = World(Policy(rules=Rules(approval=Approval.ALWAYS)))
    rollout_id = world.deploy()
    close = world.ledger.close_command

    def first_conflict(*_: object, **__: object) -> None:
        world.ledger.close_command = close
        raise Conflict("moved")

    world.ledger.close_command = first_conflict
    with pytest.raises(AssertionError):
        world.command(Command.APPROVE, rollout_id=rollout_id)
    world.commands.step()
    assert world.rollout(rollout_id).phase is Phase.PROMOTING


def test_the_reconciler_survives_a_config_that_somebody_else_writes(world: World) -> None:
    world.deploy()
    write = world.memory.write

    def lost(name: str, *rest: object, **known: object) -> object:
        if name == config_object("default"):
            raise Conflict("first")
        return write(name, *rest, **known)

    world.memory.write = lost
    assert world.reconciler.step() == ()
    world.memory.write = write
    world.reconciler.step()
    assert world.memory.stat(config_object("default")) is not None
    world.reconciler.step()


def test_a_node_that_dies_between_look_and_nudge_is_left_to_find_out(world: World) -> None:
    world.pool.faults("default-2").deaf = True
    world.pool.faults("default-2").hangs = True
    world.deploy()
    nudge = world.pools.nudge

    def dies(node: object, generation: int, *, deadline: float) -> None:
        raise NodeUnavailable("gone")

    world.pools.nudge = dies
    world.clock.advance(20)
    assert world.reconciler.step() == ("default-2",)
    world.pools.nudge = nudge


def test_an_unknown_rollout_is_not_found(world: World) -> None:
    with pytest.raises(Permanent):
        world.controller.advance("nobody")


def test_a_copy_that_an_earlier_try_made_is_compared_like_a_fresh_one(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    content, _ = world.memory.read("staging/ua/default/r1/saved_model.pb")
    world.memory.write("models/ua/default/1/saved_model.pb", content, if_generation=0, metadata={"write_id": "other"})
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_copy_of_other_bytes_that_stands_in_the_way_is_named(world: World) -> None:
    rollout_id = world.receive(world.stage())
    world.memory.write("models/ua/default/1/saved_model.pb", b"other", if_generation=0)
    world.run()
    assert "saved_model.pb has 5 bytes" in world.rollout(rollout_id).reason


def test_a_copy_that_vanishes_between_conflict_and_look_is_a_conflict_that_comes_again(world: World) -> None:
    rollout_id = world.receive(world.stage())
    copy, turns = world.memory.copy, []

    def refused(source: str, target: str, *, if_generation: int) -> object:
        if not turns:
            turns.append(target)
            raise Conflict("exists")
        return copy(source, target, if_generation=if_generation)

    world.memory.copy = refused
    world.run()
    assert len(turns) == 1
    world.clock.advance(5)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_commit_that_changes_nothing_writes_nothing(world: World) -> None:
    from deployer.domain.planner import Remove

    store = world.desired_store("default")
    assert store.commit([Remove(name="zz.default")], "nothing").generation == 0
    assert store.publish_config() is False
    assert not list(world.memory.list("fleet/"))


def test_candidates_beyond_the_stores_pace_wait_for_their_turn(world: World) -> None:
    ids = []
    for index in range(5):
        ids.append(world.receive(world.stage(f"c{index}")))
        while world.worker.step():
            pass
        world.pace(world.canary_pool.step)
    pace = world.pace(world.canary_pool.step)
    assert pace is not None
    assert 0 < pace <= 2.0
    world.run(100)
    assert {world.rollout(one).phase for one in ids} == {Phase.LIVE}


def test_of_two_canary_nodes_the_one_that_loaded_it_is_measured(world: World) -> None:
    world.canary.add_node()
    world.canary.fail_load("ua.default", 1, "disk full", node="canary-1")
    assert world.rollout(world.deploy()).phase is Phase.LIVE


class Deferred(Executor):
    """Keeps what is submitted until it is told to run it."""

    def __init__(self) -> None:
        self.kept: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.kept.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        for future, call in self.kept:
            future.set_result(call())
        self.kept.clear()


def test_a_candidate_that_is_being_measured_is_not_measured_twice(world: World) -> None:
    rollout_id = world.receive(world.stage())
    while world.worker.step():
        pass
    executor = world.canary_pool._judges = Deferred()
    for _ in range(10):
        world.pace(world.canary_pool.step)
        world.clock.advance(0.5)
    assert len(executor.kept) == 1
    executor.run()
    assert world.rollout(rollout_id).phase is Phase.PROMOTING
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_row_that_moved_while_it_was_refused_keeps_its_new_phase(world: World) -> None:
    rollout_id = world.receive(world.stage())
    handler = world.controller._handlers[Phase.RECEIVED]

    def refusing(_: Rollout) -> object:
        world.command(Command.REJECT, rollout_id=rollout_id)
        raise Permanent("no such bucket")

    handler.advance = refusing
    world.worker.step()
    assert world.rollout(rollout_id).phase is Phase.CANCELLED


def test_a_manifest_that_an_earlier_try_stored_is_good_where_it_is_the_same(world: World) -> None:
    manifest = world.stage()
    rollout_id = world.receive(manifest)
    world.store.write("models/ua/default/1/MANIFEST.json", manifest.encoded(), if_generation=0)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_promotion_whose_nodes_tell_no_instants_has_no_skew(world: World) -> None:
    rollout_id = world.receive(world.stage())
    to_phase(world, rollout_id, Phase.PROMOTING)
    step = world.promoter._ends.done(world.rollout(rollout_id), "Proved.", {})
    assert (step.after.phase, step.after.skew_ms) == (Phase.LIVE, None)


def test_a_live_rollout_that_something_else_answers_for_halts_and_can_be_taken_up_again(world: World) -> None:
    rollout_id = world.deploy()
    state = world.desired()
    stored = world.store.stat("fleet/default/desired.json")
    assert stored is not None
    emptied = state.model_copy(update={"generation": state.generation + 1, "models": ()})
    world.store.write("fleet/default/desired.json", emptied.encoded(), if_generation=stored.generation)
    world.clock.advance(3600)
    world.run()
    halted = world.rollout(rollout_id)
    assert (halted.phase, "does not answer with version 1" in halted.reason) == (Phase.HALTED, True)
    assert "is being promoted" in world.command(Command.RETRY, rollout_id=rollout_id)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_what_answered_first_is_not_rejected_while_its_successor_is_on_its_way_back(world: World) -> None:
    first = world.deploy()
    world.clock.advance(3600)
    world.run()
    second = world.deploy(run="r2")
    slot = world.ledger._state.rollouts[second]
    slot.rollout = slot.rollout.model_copy(update={"phase": Phase.ROLLING_BACK})
    assert "is ROLLING_BACK" in world.command(Command.REJECT, rollout_id=first)
    assert world.rollout(first).phase is Phase.SETTLED


def test_recorded_requests_that_cannot_be_read_measure_nothing_and_ask_a_person(world: World) -> None:
    rollout_id = world.deploy(files={GOLDEN_NAME: b"not json\n"}, rows=0)
    assert world.rollout(rollout_id).phase is Phase.AWAITING_APPROVAL
