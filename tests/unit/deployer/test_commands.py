"""What people ask for, and the sentence that they get."""

from __future__ import annotations

import pytest

from roost.contracts.errors import DatabaseUnavailable
from roost.contracts.events import Command, OperationReported
from roost.contracts.policy import Approval, Policy, Rules
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World

ASKING = Policy(rules=Rules(approval=Approval.ALWAYS))


def live_pair(world: World) -> tuple[str, str]:
    """A settled first version and a live second one."""
    first = world.deploy()
    world.clock.advance(601)
    world.run()
    return first, world.deploy(run="r2")


def test_a_rollback_returns_to_the_previous_version_in_one_generation_and_quarantines(world: World) -> None:
    first, second = live_pair(world)
    generation = world.desired().generation
    assert world.command(Command.ROLLBACK, customer="ua") == (
        "ua.default returns to version 1; version 2 is quarantined."
    )
    world.run()
    row = world.rollout(second)
    assert row.phase is Phase.ROLLED_BACK
    assert world.desired().generation == generation + 1
    assert all(state.serves("ua.default", 1) for state in world.states())
    quarantined = world.ledger.quarantined(row.digest)
    assert quarantined is not None
    assert (quarantined.reason, quarantined.actor) == ("because", "ann")
    live = world.ledger.live("ua", "default")
    assert live is not None
    assert live.id == first


def test_a_rollback_that_is_interrupted_is_done_once_and_never_takes_the_next_version_back_too(world: World) -> None:
    _, second = live_pair(world)
    world.clock.advance(601)
    world.run()
    third = world.deploy(run="r3")
    close = world.ledger.close_command

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("gone")

    world.ledger.close_command = away
    with pytest.raises(DatabaseUnavailable):
        world.command(Command.ROLLBACK, customer="ua")
    for _ in range(10):
        world.pace(world.promoter.step)
        world.clock.advance(1)
    world.ledger.close_command = close
    world.run()
    assert (world.rollout(third).phase, world.rollout(second).phase) == (Phase.ROLLED_BACK, Phase.SETTLED)
    assert world.ledger.commands(1)[0].outcome == "ua.default returns to version 2; version 3 is quarantined."


def test_a_settled_rollout_is_rolled_back_by_loading_the_previous_version_again(world: World) -> None:
    _, second = live_pair(world)
    world.clock.advance(601)
    world.run()
    assert world.rollout(second).phase is Phase.SETTLED
    world.command(Command.ROLLBACK, rollout_id=second)
    world.run()
    assert world.rollout(second).phase is Phase.ROLLED_BACK
    entry = world.desired().model("ua.default")
    assert entry is not None
    assert [one.version for one in entry.versions] == [1]
    assert all(state.serves("ua.default", 1) for state in world.states())


def test_a_rollback_to_a_version_that_fails_to_load_halts(world: World) -> None:
    _, second = live_pair(world)
    world.clock.advance(601)
    world.run()
    world.pool.fail_load("ua.default", 1, "gone from disk", node="default-1")
    world.command(Command.ROLLBACK, rollout_id=second)
    world.run()
    assert world.rollout(second).phase is Phase.HALTED
    assert all(state.serves("ua.default", 2) for state in world.states())
    assert "taken back again" in world.command(Command.RETRY, rollout_id=second)


def test_a_rollback_whose_previous_objects_are_gone_is_refused(world: World) -> None:
    _, second = live_pair(world)
    found = world.memory.stat("models/ua/default/1/MANIFEST.json")
    assert found is not None
    world.memory.delete(found.name, if_generation=found.generation)
    assert "objects of version 1 are gone" in world.command(Command.ROLLBACK, rollout_id=second)
    assert world.rollout(second).phase is Phase.LIVE


def test_a_live_model_whose_previous_objects_are_gone_can_still_be_taken_down(world: World) -> None:
    _, second = live_pair(world)
    found = world.memory.stat("models/ua/default/1/MANIFEST.json")
    assert found is not None
    world.memory.delete(found.name, if_generation=found.generation)
    assert f"roost reject --rollout {second}" in world.command(Command.ROLLBACK, rollout_id=second)
    assert "is no longer served" in world.command(Command.REJECT, rollout_id=second)
    world.run()
    assert world.rollout(second).phase is Phase.ROLLED_BACK
    assert world.desired().models == ()


def test_a_rollback_to_a_quarantined_version_is_refused_until_it_is_released(world: World) -> None:
    first, second = live_pair(world)
    digest = world.rollout(first).digest
    world.command(Command.ROLLBACK, customer="ua")
    world.run()
    third = world.deploy(run="r3")
    world.clock.advance(601)
    world.run()
    assert world.rollout(third).previous_version == 1
    from roost.ports.ledger import Quarantine

    world.ledger.quarantine(
        Quarantine(digest=digest, customer="ua", model="default", reason="leak", actor="bob", at=world.clock.now())
    )
    assert "Version 1 is quarantined (leak)" in world.command(Command.ROLLBACK, rollout_id=third)
    said = world.command(Command.RELEASE, digest=digest)
    assert said.startswith(f"{digest} is released: a rollback may return to it")
    assert said.endswith("To deploy again, train again.")
    assert world.command(Command.RELEASE, digest=digest) == f"{digest} is not quarantined."
    assert "returns to version 1" in world.command(Command.ROLLBACK, rollout_id=third)
    assert world.rollout(second).phase is Phase.ROLLED_BACK


def test_a_first_model_is_not_rolled_back_to_nothing_but_can_be_rejected(world: World) -> None:
    rollout_id = world.deploy()
    said = world.command(Command.ROLLBACK, rollout_id=rollout_id)
    assert "is the first: there is none to return to" in said
    assert f"roost reject --rollout {rollout_id}" in said
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert "is no longer served" in world.command(Command.REJECT, rollout_id=rollout_id)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.ROLLED_BACK
    assert world.desired().model("ua.default") is None


def test_a_rollback_cancels_the_candidate_that_stands_in_the_way() -> None:
    world = World(ASKING)
    live = None
    for run in ("r1", "r2"):
        live = world.deploy(run=run)
        world.command(Command.APPROVE, rollout_id=live)
        world.run()
        world.clock.advance(601)
        world.run()
    waiting = world.deploy(run="r3")
    assert world.rollout(waiting).phase is Phase.AWAITING_APPROVAL
    world.command(Command.ROLLBACK, rollout_id=live)
    assert world.rollout(waiting).phase is Phase.CANCELLED
    assert world.rollout(live).phase is Phase.ROLLING_BACK
    assert "on its way back already" in world.command(Command.ROLLBACK, rollout_id=live)


def test_an_old_settled_rollout_is_not_what_a_rollback_can_take_back(world: World) -> None:
    first, _ = live_pair(world)
    assert "is not what answers now: version 2 is" in world.command(Command.ROLLBACK, rollout_id=first)


def test_nothing_under_its_name_may_be_promoting_while_a_settled_one_is_rolled_back(world: World) -> None:
    _, first = live_pair(world)
    world.clock.advance(601)
    world.run()
    for index in (1, 2, 3):
        world.pool.faults(f"default-{index}").hangs = True
    second = world.receive(world.stage("ua", "r3"))
    for _ in range(6):
        world.worker.step()
        world.pace(world.canary_pool.step)
    assert world.rollout(second).phase is Phase.PROMOTING
    assert "is PROMOTING: roll that one back" in world.command(Command.ROLLBACK, rollout_id=first)


def test_a_freeze_holds_what_passed_and_a_thaw_lets_it_go(world: World) -> None:
    assert world.command(Command.FREEZE) == "Held: promotions of the whole fleet."
    rollout_id = world.deploy()
    row = world.rollout(rollout_id)
    assert row.phase is Phase.AWAITING_APPROVAL
    assert "Waits for a thaw: because" in row.reason
    assert "A freeze stands (because)" in world.command(Command.APPROVE, rollout_id=rollout_id)
    assert world.command(Command.THAW) == "No longer held: promotions of the whole fleet."
    assert world.command(Command.THAW) == "Nothing held promotions of the whole fleet."
    world.clock.advance(6)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_freeze_may_outlast_the_time_for_an_approval(world: World) -> None:
    world.command(Command.FREEZE)
    rollout_id = world.deploy()
    world.clock.advance(4 * 86_400)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.AWAITING_APPROVAL
    world.command(Command.THAW)
    world.clock.advance(5)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_promote_overrides_a_freeze(world: World) -> None:
    world.command(Command.FREEZE, customer="ua")
    rollout_id = world.deploy()
    assert "is being promoted" in world.command(Command.PROMOTE, customer="ua")
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


@pytest.mark.parametrize("target", [{}, {"customer": "ua"}, {"rollout_id": "ua-r1"}])
def test_a_pause_holds_the_steps_before_the_canary_until_resume(world: World, target: dict[str, str]) -> None:
    assert world.command(Command.PAUSE, **target).startswith("Held: steps before the canary of")
    rollout_id = world.deploy()
    assert world.rollout(rollout_id).phase is Phase.RECEIVED
    other = world.deploy("dl")
    assert world.rollout(other).phase is (Phase.LIVE if target else Phase.RECEIVED)
    assert world.command(Command.RESUME, **target).startswith("No longer held")
    world.clock.advance(6)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_rejected_candidate_is_cancelled_and_a_live_one_is_not() -> None:
    world = World(ASKING)
    first = world.deploy()
    assert world.command(Command.REJECT, rollout_id=first) == f"Rollout {first} is cancelled."
    assert world.rollout(first).phase is Phase.CANCELLED
    assert "It has ended already." in world.command(Command.REJECT, rollout_id=first)
    for run in ("r2", "r3"):
        second = world.deploy(run=run)
        world.command(Command.APPROVE, customer="ua")
        world.run()
    assert world.rollout(second).phase is Phase.LIVE
    assert "Use rollback." in world.command(Command.REJECT, rollout_id=second)


def test_a_halted_rollout_is_taken_back_by_reject() -> None:
    world = World(nodes=1)
    world.deploy("dl")
    world.pool.faults("default-1").hangs = True
    rollout_id = world.receive(world.stage())
    for _ in range(2):  # neither forward nor back within its deadline
        world.run(100)
        world.clock.advance(400)
    world.run(100)
    assert world.rollout(rollout_id).phase is Phase.HALTED
    assert "quarantined" in world.command(Command.REJECT, customer="ua")
    world.pool.faults("default-1").hangs = False
    world.clock.advance(20)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("command", "target", "says"),
    [
        (Command.APPROVE, {"rollout_id": "nobody"}, "There is no rollout 'nobody'. See `roost rollouts`."),
        (Command.ROLLBACK, {"customer": "nobody"}, "There is no rollout of nobody.default. See `roost rollouts`."),
        (Command.APPROVE, {"digest": "sha256:" + "1" * 64}, "a digest alone names neither"),
    ],
)
def test_an_unknown_target_is_said_so(world: World, command: Command, target: dict[str, str], says: str) -> None:
    assert says in world.command(command, **target)


def test_what_does_not_wait_cannot_be_approved_promoted_or_retried(world: World) -> None:
    rollout_id = world.deploy()
    assert "is LIVE: there is nothing to approve" in world.command(Command.APPROVE, rollout_id=rollout_id)
    assert "is LIVE: there is nothing to promote" in world.command(Command.PROMOTE, rollout_id=rollout_id)
    assert "is LIVE. It goes on." in world.command(Command.RETRY, rollout_id=rollout_id)
    assert "nothing of ua.default waits for approve" in world.command(Command.APPROVE, customer="ua").lower()
    world.command(Command.REJECT, rollout_id=rollout_id)
    world.run()
    assert "train again" in world.command(Command.RETRY, rollout_id=rollout_id)
    assert "answers nothing that could be" in world.command(Command.ROLLBACK, rollout_id=rollout_id)


def test_a_quarantined_digest_cannot_be_approved() -> None:
    world = World(ASKING)
    rollout_id = world.deploy()
    from roost.ports.ledger import Quarantine

    row = world.rollout(rollout_id)
    world.ledger.quarantine(
        Quarantine(digest=row.digest, customer="ua", model="default", reason="x", actor="b", at=world.clock.now())
    )
    assert f"release {row.digest} first" in world.command(Command.APPROVE, rollout_id=rollout_id)


def test_every_command_ends_in_an_event_with_actor_and_outcome(world: World) -> None:
    world.command(Command.FREEZE)
    events = [row.event.data for row in world.ledger.recent_events(limit=100)]
    told = [one for one in events if isinstance(one, OperationReported)]
    assert [(one.what, one.actor) for one in told] == [("command.freeze", "ann")]
    assert "Held: promotions" in told[0].reason
    assert "because" in told[0].reason
