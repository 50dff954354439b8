"""What the console offers of a rollout is what the deployer takes, whatever phase it is in: each is tried."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from deployer.console.access import MAY, Role
from deployer.console.pages import asking
from deployer.console.reader import Reader
from deployer.console.views import ActionView
from deployer.rollout.commands import Commands
from deployer.rollout.parts import Parts
from roost.contracts.events import Command, DeployCommand
from roost.contracts.policy import Policy
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import Freeze, Quarantine, RolloutQuery
from tests.console import seed
from tests.console.world import World

OF_ONE_ROLLOUT = (Command.APPROVE, Command.PROMOTE, Command.REJECT, Command.ROLLBACK, Command.RETRY)


def frozen(world: World) -> None:
    world.ledger.freeze(Freeze(scope="fleet", reason="night", actor="ann", at=world.clock.now()))


def quarantined(world: World) -> None:
    for row in world.ledger.rollouts(RolloutQuery(limit=100)):
        if row.version:
            world.ledger.quarantine(
                Quarantine(
                    digest=row.digest,
                    customer=row.customer,
                    model="default",
                    reason="x",
                    actor="ann",
                    at=row.entered_at,
                )
            )


def gone(world: World) -> None:
    for stored in world.store.list("models/"):
        world.store.delete(stored.name, if_generation=stored.generation)


def as_it_is(_world: World) -> None:
    pass


def rollouts(world: World) -> list[Rollout]:
    return list(world.ledger.rollouts(RolloutQuery(limit=100)))


def newest(world: World, customer: str) -> Rollout:
    return world.ledger.rollouts(RolloutQuery(customer=customer, limit=1))[0]


def taken(world: World, rollout: Rollout, command: Command) -> bool:
    """Whether the deployer itself does it."""
    parts = Parts(ledger=world.ledger, store=world.store, policy=Policy(), clock=world.clock)  # type: ignore[arg-type]  # the whole ledger in memory
    asked = DeployCommand(command=command, actor="ann", reason="x", rollout_id=rollout.id)
    world.ledger.submit(f"{command} {rollout.id}", asked, at=world.clock.now())
    Commands(parts).step()
    told = world.ledger.recent_events(limit=1)[0].event.data
    return bool(told.facts["done"])  # type: ignore[attr-defined]  # the event that closes a command


@pytest.mark.parametrize("changed", [as_it_is, frozen, quarantined, gone])
def test_each_command_is_offered_exactly_where_the_deployer_takes_it(changed: Callable[[World], None]):
    world = seed.build()
    changed(world)
    seen: set[Phase] = set()
    for order, rollout in enumerate(rollouts(world)):
        offered = {action.command for action in Reader(world.sources).rollout(rollout.id).actions}
        for command in OF_ONE_ROLLOUT:
            # What is refused changes nothing; what is taken is tried in a world of its own.
            one = world if command not in offered else seed.build()
            if one is not world:
                changed(one)
            done = taken(one, rollouts(one)[order], command)
            assert done is (command in offered), (rollout.id, rollout.phase, command)
        seen.add(rollout.phase)
    assert len(seen) >= 10


def actions(world: World, customer: str) -> dict[Command, ActionView]:
    found = Reader(world.sources).rollout(newest(world, customer).id).actions
    return {action.command: action for action in found}


def test_a_first_live_version_can_be_ended_and_is_not_offered_a_rollback():
    """Its page offered one, and the deployer refused: there was nothing to return to."""
    offered = actions(seed.build(), "b6")
    assert list(offered) == [Command.REJECT]
    assert offered[Command.REJECT].words == "end serving"
    assert "Nothing of b6.default answers afterwards" in offered[Command.REJECT].effect


def test_an_offer_says_what_it_comes_to():
    assert actions(seed.build(), "ua")[Command.ROLLBACK].effect.startswith("Version 1 answers again at once.")
    assert actions(seed.build(), "9e")[Command.REJECT].effect == "It ends here. What answers now goes on answering."
    assert actions(seed.build(), "ev")[Command.RELEASE].words == "release from quarantine"


def test_a_store_that_does_not_say_takes_nothing_off_the_page():
    world = seed.build()
    world.store.outage = "the store refuses this account"
    assert Command.ROLLBACK in actions(world, "ua")


def test_the_page_leaves_out_what_comes_to_the_same():
    world = seed.build()
    shown = {customer: asking.different(tuple(actions(world, customer).values())) for customer in ("9e", "vx")}
    assert [action.command for action in shown["9e"]] == [Command.APPROVE, Command.REJECT]
    assert [action.command for action in shown["vx"]] == [Command.RETRY, Command.ROLLBACK]
    frozen(world)
    left = asking.different(tuple(actions(world, "9e").values()))
    assert [action.command for action in left] == [Command.PROMOTE, Command.REJECT]


async def test_the_api_has_the_actions_of_a_rollout_and_of_what_answers(client: httpx.AsyncClient, world: World):
    detail = (await client.get(f"/api/v1/rollouts/{newest(world, 'ua').id}")).json()
    assert [action["command"] for action in detail["actions"]] == ["rollback"]
    # Its newest was rolled back: what answers is the first version, whose rollback would be refused.
    why = (await client.get("/api/v1/why/ev")).json()
    assert [action["words"] for action in why["actions"]] == ["end serving"]
    assert why["actions"][0]["rollout_id"] != why["rollout_id"]


def test_every_command_may_be_given_by_somebody_on_call_and_none_by_a_viewer():
    assert MAY[Role.ON_CALL] == MAY[Role.ADMIN] == frozenset(Command)
    assert not MAY[Role.VIEWER]
