"""The deployer in its rollouts' traces: phases, checks and generations; a group commit links to all whom it carries."""

from __future__ import annotations

import pytest

from roost.contracts.events import OPERATION_REPORTED, Command, DeployCommand
from roost.contracts.ids import desired_object
from roost.contracts.rollout import Phase
from roost.contracts.trace_context import GENERATION_KEY, PLACES_KEY, unpacked
from tests.unit.deployer.world import World
from tests.unit.telemetry.spans import ids, parent, place, traced

ONE, TWO = ("00-" + letter * 32 + "-" + "1" * 16 + "-01" for letter in "ab")


def carried(world: World, pool: str = "default") -> dict[str, str]:
    """What the nodes are told of traces with the newest generation."""
    found = world.store.stat(desired_object(pool))
    assert found is not None
    return {name: text for name, text in found.metadata.items() if name in {GENERATION_KEY, PLACES_KEY}}


def test_each_phase_is_a_span_of_the_rollouts_trace_and_its_checks_and_generations_are_its_children() -> None:
    world = World()
    with traced() as written:
        rollout = world.rollout(world.receive(world.stage(), traceparent=ONE))
        world.run()
    phases = {name: written.one(f"rollout {name}") for name in ("RECEIVED", "STORED", "VETTED", "CANARY", "PROMOTING")}
    assert {place(span)[0] for span in written.all()} == {ids(ONE)[0]}
    assert {parent(span) for span in phases.values()} == {ids(ONE)[1]}
    assert place(phases["RECEIVED"]) == ids(rollout.place)
    facts = phases["PROMOTING"].attributes
    assert facts is not None
    assert (facts["roost.rollout_id"], facts["roost.customer"], facts["roost.version"]) == (rollout.id, "ua", 1)
    assert facts["roost.next_phase"] == "LIVE"
    checks = written.one("canary checks")
    assert parent(checks) == place(phases["CANARY"])[1]
    assert {parent(span) for span in written.all() if span.name.startswith("check ")} == {place(checks)[1]}
    writers = {parent(span) for span in written.named("generation write")}
    assert writers == {place(phases[name])[1] for name in ("CANARY", "PROMOTING")}
    assert {event.event.traceparent for event in world.ledger.unpublished(100)} == {ONE}


def test_a_generation_that_carries_two_rollouts_has_a_trace_of_its_own_which_links_to_both() -> None:
    world = World()
    with traced() as written:
        both = [world.receive(world.stage(name), traceparent=of) for name, of in (("ua", ONE), ("oo", TWO))]
        world.run()
    assert {world.rollout(one).phase for one in both} == {Phase.LIVE}
    groups = [span for span in written.named("generation write") if len(span.links) == 2]
    assert groups
    promoting = {place(span) for span in written.named("rollout PROMOTING")}
    linked = {(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in groups[-1].links}
    assert linked == promoting
    assert parent(groups[-1]) is None
    assert place(groups[-1])[0] not in {ids(ONE)[0], ids(TWO)[0]}
    told = carried(world)
    assert ids(told[GENERATION_KEY]) == place(groups[-1])
    assert {ids(one) for one in unpacked(told[PLACES_KEY]).values()} == promoting
    assert unpacked(told[PLACES_KEY]).keys() == set(both)


def test_a_phase_that_ends_badly_says_why() -> None:
    world = World()
    with traced() as written:
        world.receive(world.stage(), traceparent=ONE, digest="sha256:" + "0" * 64)
        world.run()
    span = written.one("rollout RECEIVED")
    assert span.status.description is not None
    assert "digest" in span.status.description


@pytest.mark.parametrize("on", [True, False])
def test_a_rollout_without_a_trace_and_a_deployer_that_writes_none_leave_nothing_in_the_store(on: bool) -> None:
    world = World()
    if on:
        with traced() as written:
            world.deploy()
        assert not [span for span in written.all() if span.name.startswith(("rollout", "generation", "node"))]
    else:
        world.receive(world.stage(), traceparent=ONE)
        world.run()
        assert {event.event.traceparent for event in world.ledger.unpublished(100)} == {ONE}
    assert carried(world) == {}


def test_a_command_goes_on_from_where_it_was_asked_and_names_the_rollout_that_it_was_about() -> None:
    world = World()
    rollout_id = world.deploy()
    asked = DeployCommand(command=Command.ROLLBACK, actor="ann", reason="because", customer="ua")
    with traced() as written:
        world.ledger.submit("c1", asked, at=world.clock.now(), traceparent=TWO)
        world.run()
    command = written.one("deployer command")
    assert (place(command)[0], parent(command)) == ids(TWO)
    assert command.attributes is not None
    assert (command.attributes["roost.actor"], command.attributes["roost.rollout_id"]) == ("ann", rollout_id)
    told = {row.event.type: row.event.traceparent for row in world.ledger.unpublished(100)}
    assert ids(told[OPERATION_REPORTED]) == place(command)
