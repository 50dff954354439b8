"""A row and its history agree, whatever is written between the two questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from deployer.console.one_moment import rollout_and_history
from deployer.console.reader import Reader
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.errors import NotFound
from roost.contracts.rollout import Phase, Transition
from tests.console.world import World


class Hasty(InMemoryLedger):
    """Another process writes the next transition as soon as a history was read."""

    world: World | None = None

    def history(self, rollout_id: str) -> Sequence[Transition]:
        found = super().history(rollout_id)
        world, self.world = self.world, None
        if world is not None:
            world.move(self.rollout(rollout_id), Phase.CANARY, 0.1, "loading on canary-1")
        return found


@pytest.fixture
def world() -> World:
    made = World.empty()
    return replace(made, ledger=Hasty(made.clock))


def test_a_transition_between_the_two_questions_is_in_both_answers(world: World) -> None:
    rollout = world.vetted(world.receive("ua", 10))
    assert isinstance(world.ledger, Hasty)
    world.ledger.world = world
    row, lines = rollout_and_history(world.ledger, rollout.id)
    assert (row.phase, lines[-1].after) == (Phase.CANARY, Phase.CANARY)


def test_the_api_answers_with_one_moment(world: World) -> None:
    rollout = world.vetted(world.receive("ua", 10))
    assert isinstance(world.ledger, Hasty)
    world.ledger.world = world
    detail = Reader(world.sources).rollout(rollout.id)
    assert detail.rollout.phase is detail.history[-1].after is Phase.CANARY


def test_an_unknown_rollout_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        rollout_and_history(world.ledger, "nobody")
