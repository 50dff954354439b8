"""A canary's measurement that its node does not outlive: the scheduled restart, a drain, a lost pod. No model fails by it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome
from roost.ports.serving import Tensors
from tests.unit.deployer.world import World

NAME = "ua.default"


class Interrupting:
    """Answers as the model does; in the middle of each of the first measurements something becomes of the node."""

    def __init__(self, what: Callable[[], None], times: int) -> None:
        self.what, self.left = what, times

    def __call__(self, inputs: Tensors) -> Tensors:
        if self.left and len(inputs["x"]) > 1:
            self.left -= 1
            self.what()
        return {"score": np.clip(np.asarray(inputs["x"], np.float32), 0, 1).reshape(-1, 1)}


def restarted(world: World) -> None:
    """As `roost restart --pool canary` has it: a fresh model server, whose models are not there yet."""
    world.canary.restart(world.canary.nodes("canary")[0], deadline=1)
    raise Permanent("Servable not found for request: Specific(ua.default, 1)")


def deployed(world: World, what: Callable[[], None], times: int) -> str:
    answer = Interrupting(what, times)
    world.canary.answer(NAME, 1, answer)
    rollout_id = world.deploy(golden=[{"inputs": {"x": [0.5]}, "outputs": {"score": [[0.5]]}}])
    for _ in range(10):
        world.clock.advance(2)
        world.run()
    assert answer.left == 0
    return rollout_id


@pytest.mark.parametrize("times", [1, 2])
def test_a_restart_of_the_canary_node_in_the_middle_has_the_model_measured_again(world: World, times: int) -> None:
    """It was rejected: a model server that has just come back knows no such model, and that is a refusal."""
    row = world.rollout(deployed(world, lambda: restarted(world), times))
    assert (row.phase, row.verdict and row.verdict.outcome) == (Phase.LIVE, Outcome.PASS)
    assert Phase.REJECTED not in {line.after for line in world.ledger.history(row.id)}


def test_a_pod_that_goes_hands_its_candidate_to_the_one_that_came_before_it_went(world: World) -> None:
    def rolled() -> None:
        world.canary.add_node()
        world.canary.faults("canary-1").down = True
        raise ModelServerUnavailable("canary-1: Connection reset by peer")

    row = world.rollout(deployed(world, rolled, 1))
    assert (row.phase, row.verdict and row.verdict.outcome) == (Phase.LIVE, Outcome.PASS)


def test_answers_of_a_node_that_drains_reject_nobody(world: World) -> None:
    def drained() -> None:
        world.canary.add_node()
        world.canary.drain(world.canary.nodes("canary")[0], deadline=1)
        raise Permanent("Received RST_STREAM with error code 2")

    row = world.rollout(deployed(world, drained, 1))
    assert row.phase is Phase.LIVE


def test_a_candidate_that_is_cut_short_each_time_asks_a_person_and_is_not_rejected(world: World) -> None:
    row = world.rollout(deployed(world, lambda: restarted(world), 3))
    assert row.phase is Phase.AWAITING_APPROVAL
    assert "The canary was inconclusive" in row.reason


def test_what_is_inconclusive_each_time_keeps_its_own_words(world: World) -> None:
    def crashed() -> None:
        world.canary.restart(world.canary.nodes("canary")[0], deadline=1)
        raise ModelServerUnavailable("Socket closed")

    row = world.rollout(deployed(world, crashed, 3))
    assert row.phase is Phase.AWAITING_APPROVAL
    assert "The canary did not answer: Socket closed" in row.reason


def test_a_node_that_has_only_come_back_and_turns_a_question_away_is_asked_again(world: World) -> None:
    """A person was asked, since a connection of before the restart was not mended yet."""
    restarts = [True, False]

    def interrupted() -> None:
        if restarts.pop(0):
            restarted(world)
        raise ModelServerUnavailable("failed to connect to all addresses")

    row = world.rollout(deployed(world, interrupted, 2))
    assert (row.phase, row.verdict and row.verdict.outcome) == (Phase.LIVE, Outcome.PASS)


def test_a_node_that_was_not_restarted_and_does_not_answer_asks_a_person_at_once(world: World) -> None:
    def silent() -> None:
        raise ModelServerUnavailable("Deadline Exceeded")

    assert world.rollout(deployed(world, silent, 1)).phase is Phase.AWAITING_APPROVAL


def test_a_load_that_failed_on_a_node_that_is_gone_is_tried_on_the_next_one(world: World) -> None:
    world.canary.fail_load(NAME, 1, "the model server died while this version was loading")
    address = world.canary.nodes("canary")[0]
    state, asked = world.canary.state, 0

    def gone(node: object, *, deadline: float) -> object:
        # The first question about the node alone is whether it stands: by then it was replaced.
        nonlocal asked
        asked += 1
        if asked == 1:
            world.canary.faults("canary-1").load_errors.clear()
            world.canary.restart(address, deadline=1)
        return state(address, deadline=deadline)

    world.canary.state = gone  # type: ignore[method-assign]  # an instant that no fake can be told of
    rollout_id = world.receive(world.stage())
    for _ in range(10):
        world.run()
        world.clock.advance(2)
    assert world.rollout(rollout_id).phase is Phase.LIVE


def test_a_model_that_is_bad_is_rejected_by_the_node_that_measured_it(world: World) -> None:
    world.canary.answer(NAME, 1, lambda inputs: {"score": np.full((len(inputs["x"]), 1), np.nan, np.float32)})
    assert world.rollout(world.deploy()).phase is Phase.REJECTED
