"""What the deployer tells Prometheus, and so every alert: how long the oldest waits, what is late, what is due."""

from __future__ import annotations

from prometheus_client import REGISTRY

from deployer.rollout.census import Census
from roost.contracts.events import Command, CustomerSignedUp
from roost.contracts.policy import Approval, Policy, Rules
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World, saved_model


def test_the_census_tells_how_long_the_oldest_waits_and_what_is_past_its_deadline(world: World) -> None:
    world.receive(world.stage("aa"))
    world.clock.advance(200)
    world.receive(world.stage("bb"))
    world.receive(world.stage("cc"))
    world.clock.advance(150)
    Census(world.parts).step()
    sample = REGISTRY.get_sample_value
    assert sample("roost_rollout_oldest_seconds", {"phase": "RECEIVED"}) == 350
    assert sample("roost_rollout_overdue_count", {"phase": "RECEIVED"}) == 1
    assert sample("roost_rollout_oldest_seconds", {"phase": "HALTED"}) == 0


def test_the_census_tells_of_the_oldest_signup_until_it_is_answered_or_refused(world: World) -> None:
    def oldest() -> float | None:
        Census(world.parts).step()
        return REGISTRY.get_sample_value("roost_onboarding_unanswered_seconds")

    assert oldest() == 0
    for customer in ("aa", "bb"):
        signup = CustomerSignedUp(customer=customer, name=customer)
        world.ledger.sign_up(f"s-{customer}", signup, at=world.clock.now(), run_id=f"signup__{customer}")
        world.clock.advance(100)
    assert oldest() == 200
    world.deploy("aa")
    waited = oldest()
    assert waited is not None
    assert 100 <= waited < 200
    world.deploy("bb", graph=saved_model(("ReadFile",)))
    assert oldest() == 0


def test_the_first_answer_since_the_signup_is_measured_and_no_later_one(world: World) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("roost_onboarding_signup_to_answer_seconds_count") or 0

    before = count()
    signup = CustomerSignedUp(customer="ua", name="United")
    world.ledger.sign_up("s-ua", signup, at=world.clock.now(), run_id="signup__ua")
    world.clock.advance(40)
    world.deploy("ua", "r1")
    assert count() == before + 1
    world.clock.advance(1)
    world.deploy("ua", "r2")
    world.deploy("zz")
    assert count() == before + 1


def test_a_first_model_that_was_taken_back_does_not_make_its_successor_a_late_first_answer(world: World) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("roost_onboarding_signup_to_answer_seconds_count") or 0

    signup = CustomerSignedUp(customer="ua", name="United")
    world.ledger.sign_up("s-ua", signup, at=world.clock.now(), run_id="signup__ua")
    first = world.deploy("ua", "r1")
    before = count()
    world.command(Command.REJECT, rollout_id=first)
    world.run()
    assert world.rollout(first).phase is Phase.ROLLED_BACK
    world.clock.advance(86_400)
    second = world.rollout(world.deploy("ua", "r2"))
    assert (second.phase, second.previous_version) == (Phase.LIVE, None)
    assert count() == before


def test_what_a_person_approved_does_not_count_against_the_objective() -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("roost_rollout_ready_to_serving_seconds_count") or 0

    world, before = World(Policy(rules=Rules(approval=Approval.ALWAYS))), count()
    rollout_id = world.deploy("ua")
    world.command(Command.APPROVE, rollout_id=rollout_id)
    world.run()
    assert world.rollout(rollout_id).phase is Phase.LIVE
    assert count() == before
    other = World()
    other.deploy("ua")
    assert count() == before + 1


def test_a_pool_that_leaks_is_due_for_a_restart(world: World) -> None:
    def due() -> float | None:
        world.reconciler.step()
        return REGISTRY.get_sample_value("roost_pool_restarts_due_count", {"pool": "default"})

    world.deploy("ua")
    assert due() == 0
    world.pool.faults("default-1").leaked_bytes = 2 * 2**30
    assert due() == 1
    assert REGISTRY.get_sample_value("roost_pool_nodes_answering_count", {"pool": "default"}) == 3


def test_a_phase_that_nothing_entered_yet_shows_zero_so_that_the_first_rollback_is_an_increase(world: World) -> None:
    Census(world.parts)
    assert REGISTRY.get_sample_value("roost_rollout_transitions_total", {"phase": "ROLLED_BACK"}) is not None
