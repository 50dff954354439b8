"""A freeze or a pause holds what was meant and nothing else, whatever a customer is called."""

from __future__ import annotations

import pytest

from deployer.domain import scopes
from deployer.domain.scopes import HeldScope, Scope
from roost.contracts.events import Command, DeployCommand
from roost.contracts.rollout import Phase
from tests.unit.deployer.world import World

ROLLOUT = "8f14e45fceea167a"
EVERY = [
    Scope(),
    Scope(customer="ua"),
    Scope(customer="fleet"),
    Scope(customer="canary"),
    Scope(customer="paused"),
    Scope(customer="rollout"),
    Scope(customer=ROLLOUT),
]
HOLDS = [HeldScope(scope=scope, paused=paused) for paused in (False, True) for scope in EVERY]
HOLDS.append(HeldScope(scope=Scope(rollout_id=ROLLOUT), paused=True))


def asked(command: Command, **target: str) -> HeldScope:
    return scopes.asked(DeployCommand.model_validate({"command": command, "actor": "ann", "reason": "x", **target}))


@pytest.mark.parametrize("held", HOLDS, ids=lambda held: held.stored)
def test_a_stored_text_reads_back_as_the_scope_that_was_held(held: HeldScope) -> None:
    assert scopes.read(held.stored) == held


def test_no_two_scopes_have_one_text_and_no_two_are_called_the_same() -> None:
    assert len({held.stored for held in HOLDS}) == len(HOLDS)
    assert len({held.scope.words for held in HOLDS}) == len({held.scope for held in HOLDS})


@pytest.mark.parametrize(
    ("stored", "held"),
    [
        ("fleet", HeldScope(scope=Scope(), paused=False)),
        ("dl", HeldScope(scope=Scope(customer="dl"), paused=False)),
        ("paused:fleet", HeldScope(scope=Scope(), paused=True)),
        ("paused:dl", HeldScope(scope=Scope(customer="dl"), paused=True)),
    ],
)
def test_rows_of_before_mean_what_they_meant(stored: str, held: HeldScope) -> None:
    assert (scopes.read(stored), held.stored) == (held, stored)


def test_a_rollout_that_was_paused_before_is_held_and_let_go_by_its_id() -> None:
    assert f"paused:{ROLLOUT}" in scopes.pausing("ua", ROLLOUT)
    assert f"paused:{ROLLOUT}" in asked(Command.RESUME, rollout_id=ROLLOUT).stored_ways


def test_a_freeze_holds_its_scope_and_a_pause_is_no_freeze() -> None:
    assert scopes.freezing("dl") == ("fleet", "dl")
    assert scopes.freezing("fleet") == ("fleet", "customer:fleet")
    assert scopes.pausing("dl", None) == ("paused:fleet", "paused:dl")
    assert not set(scopes.freezing("dl")) & set(scopes.pausing("dl", ROLLOUT))


def test_a_customer_called_fleet_is_frozen_alone_and_frozen_with_everybody() -> None:
    world = World()
    assert world.command(Command.FREEZE, customer="fleet") == "Held: promotions of customer fleet."
    theirs, others = world.deploy("fleet"), world.deploy("dl")
    assert (world.rollout(theirs).phase, world.rollout(others).phase) == (Phase.AWAITING_APPROVAL, Phase.LIVE)
    assert world.command(Command.THAW) == "Nothing held promotions of the whole fleet."
    assert world.command(Command.FREEZE) == "Held: promotions of the whole fleet."
    assert world.command(Command.THAW, customer="fleet") == "No longer held: promotions of customer fleet."
    world.clock.advance(6)
    world.run()
    assert world.rollout(theirs).phase is Phase.AWAITING_APPROVAL


def test_a_freeze_that_names_a_rollout_is_refused_and_freezes_nothing() -> None:
    """It froze the whole fleet: the rollout was passed over, and no customer was named."""
    world = World()
    assert "pause the rollout" in world.command(Command.FREEZE, rollout_id=ROLLOUT)
    assert not world.ledger.freezes()


def test_a_paused_rollout_of_before_goes_on_once_it_is_resumed() -> None:
    world = World()
    world.command(Command.PAUSE, rollout_id="ua-r1")
    (row,) = world.ledger.freezes()
    world.ledger.thaw(row.scope)
    world.ledger.freeze(type(row)(scope="paused:ua-r1", reason="x", actor="ann", at=row.at))
    rollout_id = world.deploy()
    assert world.rollout(rollout_id).phase is Phase.RECEIVED
    assert (
        world.command(Command.RESUME, rollout_id="ua-r1") == "No longer held: steps before the canary of rollout ua-r1."
    )
    assert not world.ledger.freezes()
