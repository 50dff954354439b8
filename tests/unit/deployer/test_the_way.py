"""The whole way of a rollout, on the shipped fakes."""

from __future__ import annotations

from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World


def test_a_first_model_goes_from_received_to_live_on_every_node(world: World) -> None:
    rollout_id = world.deploy()
    row = world.rollout(rollout_id)
    assert row.phase is Phase.LIVE, world.ledger.history(rollout_id)
    assert world.phases(rollout_id) == ["RECEIVED", "STORED", "VETTED", "CANARY", "PROMOTING", "LIVE"]
    assert all(state.serves("ua.default", row.version) for state in world.states())
    assert (row.load_generation, row.flip_generation) == (1, 2)
    assert row.skew_ms is not None
