"""Live requests copied to a candidate: switched on, bounded, always off again, and what the counts prove."""

from __future__ import annotations

import threading

import pytest

from deployer.checks.copies import CopiesCheck
from deployer.checks.shares import bounds
from deployer.checks.subject import Copies, Interrupted
from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.errors import NodeUnavailable
from roost.contracts.events import Command
from roost.contracts.policy import CheckPolicy, CopyBounds, Policy, Rules
from roost.contracts.rollout import Phase
from roost.contracts.traffic import Answered
from roost.contracts.verdict import CheckResult, Outcome
from tests.unit.deployer.test_checks import subject
from tests.unit.deployer.world import World

ALL = CheckPolicy(enabled=("load", "signature", "golden", "sanity", "copies"))
LIVE = Answered(ended={"OK": 4000}, took=((0.01, 3900), (0.02, 100)))


def judged(candidate: Answered, live: Answered = LIVE) -> CheckResult:
    return CopiesCheck().run(subject(copies=lambda _: Copies(candidate=candidate, live=live)))


def answered(ok: int, slow: int = 0, **failed: int) -> Answered:
    return Answered(ended={"OK": ok, **failed}, took=((0.01, ok - slow), (0.02, 0), (0.04, slow)))


@pytest.mark.parametrize(
    ("candidate", "outcome", "says"),
    [
        (
            answered(400),
            Outcome.PASS,
            "0 of 400 copied requests failed, 0 of 4000 live; 0 of 400 took longer than 20 ms.",
        ),
        (answered(400, slow=5), Outcome.PASS, "5 of 400 took longer"),
        (answered(350, INTERNAL=50), Outcome.FAIL, "50 of 400 copied requests failed (INTERNAL), 0 of 4000 live: more"),
        (answered(0, INTERNAL=5), Outcome.FAIL, "5 of 5 copied requests failed"),
        (answered(400, slow=100), Outcome.FAIL, "100 of 400 took longer than 20 ms: more than the 5.00%"),
        (answered(398, UNAVAILABLE=2), Outcome.INCONCLUSIVE, "too few to tell whether that is below 1.00%"),
        (answered(400, slow=20), Outcome.INCONCLUSIVE, "20 of 400 took longer than 20 ms: too few to tell"),
        (answered(300), Outcome.INCONCLUSIVE, "Only 300 live requests were copied; the policy wants 400."),
        (answered(0), Outcome.INCONCLUSIVE, "No live request was copied within 30 s."),
    ],
)
def test_the_counts_prove_it_good_or_bad_or_nothing(candidate: Answered, outcome: Outcome, says: str) -> None:
    found = judged(candidate)
    assert (found.check, found.outcome) == ("copies", outcome)
    assert says in found.sentence


def test_what_fails_live_too_is_not_held_against_the_candidate() -> None:
    """Callers ask for what no model can answer; a copy of that fails as well."""
    live = Answered(ended={"OK": 3600, "INVALID_ARGUMENT": 400}, took=((0.01, 3600),))
    assert judged(answered(360, INVALID_ARGUMENT=40), live).outcome is Outcome.INCONCLUSIVE
    assert judged(answered(380, INVALID_ARGUMENT=20), live).outcome is Outcome.PASS


def test_live_requests_that_all_fail_say_nothing_about_time() -> None:
    live = Answered(ended={"INTERNAL": 400})
    found = judged(answered(400), live)
    assert (found.outcome, found.sentence[:27]) == (Outcome.INCONCLUSIVE, "No live request was timed, ")


@pytest.mark.parametrize(
    ("seen", "of", "lower", "upper"),
    [
        (0, 0, 0.0, 1.0),
        (0, 300, 0.0, 0.00994),
        (0, 1000, 0.0, 0.002991),
        (5, 5, 0.5493, 1.0),
        (10, 100, 0.05526, 0.1637),
    ],
)
def test_bounds_are_those_of_the_exact_binomial(seen: int, of: int, lower: float, upper: float) -> None:
    assert bounds(seen, of) == pytest.approx((lower, upper), abs=5e-5)


@pytest.fixture
def world() -> World:
    made = World(Policy(rules=Rules(checks=ALL)))
    made.traffic.per_second = 100
    return made


def second(world: World) -> str:
    """A first model, approved and live; and a second one, as far as it gets."""
    first = world.deploy(run="r1")
    assert world.rollout(first).phase is Phase.AWAITING_APPROVAL
    assert "There is no live version whose requests could be copied" in world.rollout(first).reason
    world.command(Command.APPROVE, rollout_id=first)
    world.run()
    assert world.rollout(first).phase is Phase.LIVE
    return world.deploy(run="r2")


def test_a_candidate_that_answers_copies_well_is_promoted_and_nothing_is_copied_afterwards(world: World) -> None:
    rollout = world.rollout(second(world))
    assert rollout.phase is Phase.LIVE
    copies = rollout.verdict.checks[-1]
    assert (copies.check, copies.outcome, copies.n >= 400) == ("copies", Outcome.PASS, True)
    assert not world.traffic.copied_now()


def test_a_candidate_that_fails_on_live_requests_is_rejected(world: World) -> None:
    world.traffic.manner("canary-1").failing = 0.2
    rollout = world.rollout(second(world))
    assert rollout.phase is Phase.REJECTED
    assert "copied requests failed (INTERNAL)" in rollout.reason
    assert not world.traffic.copied_now()


def test_a_model_that_nobody_asks_is_left_to_a_person(world: World) -> None:
    world.traffic.per_second = 0
    rollout = world.rollout(second(world))
    assert rollout.phase is Phase.AWAITING_APPROVAL
    assert "No live request was copied" in rollout.reason


def test_nothing_is_copied_where_the_policy_does_not_ask_for_it() -> None:
    world = World()
    world.deploy(run="r1")
    rollout = world.rollout(world.deploy(run="r2"))
    assert rollout.phase is Phase.LIVE
    assert "copies" not in {check.check for check in rollout.verdict.checks}


def copy(world: World, limits: CopyBounds | None = None) -> Copies:
    (candidate,) = world.canary.nodes("canary")
    return world.copier.copy("ua.default", "default", candidate, limits or CopyBounds())


def test_a_node_that_is_away_copies_nothing_and_the_others_do(world: World) -> None:
    world.traffic.manner("default-2").down = True
    assert copy(world).candidate.total >= 400


def test_without_any_node_that_copies_there_is_no_measurement(world: World) -> None:
    for node in world.pool.nodes("default"):
        world.traffic.manner(node.node).down = True
    with pytest.raises(NodeUnavailable, match="did not answer"):
        copy(world)
    (candidate,) = world.canary.nodes("canary")
    with pytest.raises(NodeUnavailable, match="the pool has no nodes"):
        world.copier.copy("ua.default", "nowhere", candidate, CopyBounds())


class Turn(ManualClock):
    """Something happens at the first wait."""

    happens = staticmethod(lambda: None)

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        self.happens()
        return super().wait(seconds, stop)


@pytest.fixture
def turning() -> World:
    made = World(clock=Turn())
    made.traffic.per_second = 100
    return made


def test_a_model_server_that_is_replaced_meanwhile_leaves_nothing_to_compare(turning: World) -> None:
    turning.clock.happens = lambda: setattr(turning.traffic.manner("canary-1"), "server", 2)
    with pytest.raises(NodeUnavailable, match="the model server of node canary-1 was replaced meanwhile"):
        copy(turning)
    assert not turning.traffic.copied_now()


def test_a_node_that_cannot_be_told_ends_the_copies_by_itself(turning: World) -> None:
    turning.clock.happens = lambda: setattr(turning.traffic.manner("default-1"), "down", True)
    with pytest.raises(NodeUnavailable):
        copy(turning, CopyBounds(seconds=20))
    assert turning.traffic.copied_now() == [("default-1", "ua.default")]
    turning.clock.advance(30)
    assert not turning.traffic.copied_now()


def test_a_deployer_that_ends_stops_the_copies_and_measures_anew_in_its_next_life(world: World) -> None:
    world.stopping.set()
    with pytest.raises(Interrupted):
        copy(world)
    assert not world.traffic.copied_now()
    waiting = second(world)
    assert world.rollout(waiting).phase is Phase.CANARY
    world.stopping.clear()
    world.clock.advance(2)
    world.run()
    assert world.rollout(waiting).phase is Phase.LIVE
