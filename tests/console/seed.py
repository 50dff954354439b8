"""A dozen customers in every phase, as the pages are looked at: verdicts, quarantine, freeze, commands."""

from __future__ import annotations

from datetime import timedelta

from roost.contracts import events
from roost.contracts.cloudevents import Event
from roost.contracts.events import Command, OperationReported
from roost.contracts.rollout import Phase
from roost.ports.clock import Clock
from roost.ports.ledger import Freeze, Quarantine
from tests.console.verdicts import failed_sanity, inconclusive, passed
from tests.console.world import AIRLINES, World


def build(clock: Clock | None = None) -> World:
    """A dozen rollouts, every phase at least once, an unfinished signup, a freeze, a quarantine, commands."""
    return fill(World.empty(clock))


def fill(world: World) -> World:
    """The same, written into this world."""
    for order, customer in enumerate(AIRLINES):
        world.sign_up(customer, order * 40.0)
    _settled_and_live(world)
    _refused(world)
    _under_way(world)
    world.ran("signup-as", "running")
    _commands(world)
    return world


def _settled_and_live(world: World) -> None:
    first = world.promote(world.canary(world.vetted(world.receive("ua", 25))))
    world.move(first, Phase.SETTLED, 600, "bake over, previous version unloaded")
    second = world.canary(world.vetted(world.receive("ua", 1500, "retrain-ua-2013-11")))
    world.promote(second)
    world.promote(world.canary(world.vetted(world.receive("b6", 90, scope="own"))))
    tiny = world.receive("oo", 470, scope="cohort", cohort=["ev", "mq", "9e"])
    world.promote(world.canary(world.vetted(tiny)))
    good = world.promote(world.canary(world.vetted(world.receive("ev", 110))))
    good = world.move(good, Phase.SETTLED, 600, "bake over, previous version unloaded")
    bad = world.promote(world.canary(world.vetted(world.receive("ev", 1700, "retrain-ev-2013-11"))))
    bad = world.move(bad, Phase.ROLLING_BACK, 200, "rollback asked: support reports odd scores", actor="maria")
    world.move(bad, Phase.ROLLED_BACK, 0.38, "flipped back in 0.38 s; digest quarantined", actor="maria")
    world.serve(good)
    world.ledger.quarantine(
        Quarantine(
            digest=bad.digest,
            customer="ev",
            model="default",
            reason="support reports odd scores",
            actor="maria",
            at=bad.entered_at,
        )
    )


def _refused(world: World) -> None:
    nan = world.canary(world.vetted(world.receive("dl", 150)))
    world.move(nan, Phase.REJECTED, 0.7, failed_sanity().sentence, verdict=failed_sanity())
    world.move(world.receive("aa", 200), Phase.REJECTED, 0.15, "assets/vocab.txt: sha256 differs from the manifest's")
    old = world.vetted(world.receive("mq", 240))
    world.move(old, Phase.SUPERSEDED, 0.1, "a newer artifact was trained at 2013-11-02")
    asked = world.canary(world.vetted(world.receive("us", 280)))
    asked = world.move(asked, Phase.AWAITING_APPROVAL, 0.8, inconclusive().sentence, verdict=inconclusive())
    world.move(asked, Phase.CANCELLED, 95, "rejected by maria: too few rows, wait for more data", actor="maria")


def _under_way(world: World) -> None:
    waits = world.canary(world.vetted(world.receive("9e", 2300)))
    world.move(waits, Phase.AWAITING_APPROVAL, 0.9, inconclusive().sentence, verdict=inconclusive())
    world.canary(world.vetted(world.receive("wn", 2490)))
    halted = world.canary(world.vetted(world.receive("vx", 1900)))
    halted = world.move(halted, Phase.PROMOTING, 0.8, "listed in a generation", verdict=passed(), load_generation=9)
    world.move(
        halted, Phase.HALTED, 300, "default-3 did not load version 1 within 300 s, and could not be flipped back"
    )
    world.receive("fl", 2515)
    world.ledger.freeze(
        Freeze(scope="b6", reason="their launch day", actor="maria", at=world.start + timedelta(minutes=30))
    )


def _commands(world: World) -> None:
    at = world.start + timedelta(seconds=375)
    command = events.DeployCommand(
        command=Command.REJECT, actor="maria", reason="too few rows, wait for more data", customer="us"
    )
    world.ledger.submit("console-us", command, at=at)
    report = OperationReported(what="freeze", customer="b6", actor="maria", reason="their launch day")
    told = Event(
        id="op-1", type=events.OPERATION_REPORTED, source="roost/deployer", subject="b6",
        time=world.start + timedelta(minutes=30), data=report,
    )  # fmt: skip
    world.ledger.close_command(
        "console-us", outcome="rejected: version 1 is CANCELLED", at=at + timedelta(seconds=0.2), events=[told]
    )
