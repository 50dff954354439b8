"""A customer who leaves takes their models along."""

from __future__ import annotations

from roost.contracts.events import CustomerSignedUp, OperationReported
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World


def leave(world: World, customer: str = "ua") -> None:
    payload = CustomerSignedUp(customer=customer)
    world.ledger.sign_up(f"in-{customer}", payload, at=world.clock.now(), run_id="run")
    world.ledger.offboard(f"out-{customer}", customer, "moved away", at=world.clock.now())


def retired(world: World) -> list[str | None]:
    told = [one.event.data for one in world.ledger.recent_events(limit=100)]
    return [one.customer for one in told if isinstance(one, OperationReported) and one.what == "customer.retired"]


def test_what_was_live_leaves_every_node_and_the_customer_is_retired(world: World) -> None:
    live = world.deploy()
    kept = world.deploy("dl")
    leave(world)
    world.run()
    assert world.rollout(live).phase is Phase.ROLLED_BACK
    assert world.desired().model("ua.default") is None
    assert all(state.model("ua.default") is None for state in world.states())
    assert retired(world) == ["ua"]
    assert world.rollout(kept).phase is Phase.LIVE
    assert all(state.serves("dl.default", 1) for state in world.states())


def test_a_candidate_of_a_leaving_customer_is_cancelled(world: World) -> None:
    rollout_id = world.receive(world.stage())
    leave(world)
    world.promoter.step()
    assert world.rollout(rollout_id).phase is Phase.CANCELLED
    world.run()
    assert retired(world) == ["ua"]


def test_a_settled_model_of_a_leaving_customer_is_removed(world: World) -> None:
    rollout_id = world.deploy()
    world.clock.advance(601)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.SETTLED
    leave(world)
    world.run()
    assert world.desired().models == ()


def test_a_customer_is_not_retired_while_a_node_still_serves_them(world: World) -> None:
    world.deploy()
    world.pool.faults("default-2").hangs = True
    leave(world)
    world.run(20)
    assert retired(world) == []
    world.pool.faults("default-2").hangs = False
    world.clock.advance(20)
    world.run()
    assert retired(world) == ["ua"]


def test_a_retirement_is_told_once_even_by_a_deployer_that_starts_anew(world: World) -> None:
    world.deploy()
    leave(world)
    world.run()
    world.start_deployer()
    world.run()
    assert retired(world) == ["ua"]
    assert world.promoter.step().wait_seconds is None


def test_who_comes_back_begins_anew_and_nothing_names_what_was_deleted(world: World) -> None:
    """The old SETTLED row made the first model after a return skip its approval and point at deleted objects."""
    world.deploy()
    world.clock.advance(601)
    world.run()
    leave(world)
    world.run()
    world.clock.advance(60)
    world.ledger.sign_up("back", CustomerSignedUp(customer="ua"), at=world.clock.now(), run_id="again")
    first = world.rollout(world.deploy(run="r2"))
    assert (first.phase, first.version, first.previous_version) == (Phase.LIVE, 2, None)
