"""A rollout whose record was made again: a rollback must not take "nobody knows" for "nothing was there"."""

from __future__ import annotations

from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.events import Command
from roost.contracts.rollout import PREVIOUS_UNKNOWN, Phase
from tests.unit.deployer.world import World


def test_a_rollback_to_nobody_knows_what_is_refused(world: World) -> None:
    rollout_id = world.deploy()
    assert isinstance(world.ledger, InMemoryLedger)
    slot = world.ledger._state.rollouts[rollout_id]
    slot.rollout = slot.rollout.model_copy(update={"facts": {PREVIOUS_UNKNOWN: True}})
    assert "has nothing known before it, since the ledger was made again" in world.command(
        Command.ROLLBACK, customer="ua"
    )
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert "no longer served" in world.command(Command.REJECT, rollout_id=rollout_id)
