"""Commands over the API: accepted once, by whom and why, waited for, refused where they make no sense."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from roost.contracts.events import Command
from roost.ports.ledger import Quarantine
from tests.console.serve import SmallDeployer
from tests.console.world import World
from tests.unit.console.conftest import running

APPROVE = {"command": "approve", "customer": "9e", "reason": "enough rows for a cohort"}


async def send(client: httpx.AsyncClient, body: dict[str, object], wait: float = 0, **headers: str) -> httpx.Response:
    return await client.post("/api/v1/commands", json=body, params={"wait": wait}, headers=headers)


async def test_a_command_is_accepted_with_actor_and_reason(client: httpx.AsyncClient, world: World):
    answer = await send(client, {**APPROVE, "actor": "ann"})
    assert answer.status_code == 202
    (row,) = world.ledger.open_commands(10)
    assert (row.command.command, row.command.actor, row.command.customer) == (Command.APPROVE, "ann", "9e")
    assert row.command.reason == "enough rows for a cohort"
    assert answer.json()["event_id"] == row.event_id


async def test_waiting_returns_the_outcome_as_soon_as_it_is_there(client: httpx.AsyncClient, world: World):
    stop = threading.Event()
    deployer = threading.Thread(target=SmallDeployer(world).run, args=(stop,))
    deployer.start()
    try:
        answer = await send(client, APPROVE, wait=10)
    finally:
        stop.set()
        deployer.join()
    assert answer.status_code == 200
    assert answer.json()["outcome"] == "approved: 9e.default version 1 is LIVE"
    assert answer.json()["done"] is True
    assert answer.json()["rollout_id"]


async def test_what_the_deployer_refuses_is_told_as_not_done(client: httpx.AsyncClient, world: World):
    task = asyncio.create_task(send(client, {**APPROVE, "customer": "ua"}, wait=10))
    await _accepted(world)
    SmallDeployer(world).handle(world.ledger.open_commands(1)[0])
    answer = await task
    assert answer.status_code == 200
    assert answer.json()["done"] is False


async def test_without_a_deployer_waiting_ends_and_the_command_is_kept(client: httpx.AsyncClient, world: World):
    answer = await send(client, APPROVE, wait=0.05)
    assert answer.status_code == 202
    assert answer.json()["done_at"] is None
    assert len(world.ledger.open_commands(10)) == 1


async def test_the_same_idempotency_key_is_one_command(client: httpx.AsyncClient, world: World):
    first = await send(client, APPROVE, **{"Idempotency-Key": "night-shift-1"})
    again = await send(client, APPROVE, **{"Idempotency-Key": "night-shift-1"})
    assert first.json()["event_id"] == again.json()["event_id"]
    assert len(world.ledger.open_commands(10)) == 1


async def test_a_key_that_was_used_for_another_command_is_a_conflict(client: httpx.AsyncClient, world: World):
    await send(client, APPROVE, **{"Idempotency-Key": "night-shift-1"})
    answer = await send(client, {**APPROVE, "command": "reject"}, **{"Idempotency-Key": "night-shift-1"})
    assert answer.status_code == 409
    assert len(world.ledger.open_commands(10)) == 1


async def test_a_key_for_another_target_is_a_conflict_too(client: httpx.AsyncClient, world: World):
    await send(client, APPROVE, **{"Idempotency-Key": "night-shift-1"})
    answer = await send(client, {**APPROVE, "customer": "us"}, **{"Idempotency-Key": "night-shift-1"})
    assert answer.status_code == 409


async def test_release_finds_the_digest_of_the_customer(client: httpx.AsyncClient, world: World):
    await send(client, {"command": "release", "customer": "ev", "reason": "it was the feed"})
    (row,) = world.ledger.open_commands(10)
    assert row.command.digest == world.ledger.quarantines()[0].digest


async def test_release_of_one_among_several_asks_which(client: httpx.AsyncClient, world: World):
    world.ledger.quarantine(
        Quarantine(
            digest="sha256:" + "0" * 64, customer="ev", model="default", reason="x", actor="a", at=world.clock.now()
        )
    )
    answer = await send(client, {"command": "release", "customer": "ev", "reason": "it was the feed"})
    assert answer.status_code == 409
    assert "sha256:" + "0" * 64 in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"command": "approve", "customer": "9e"}, 422, "reason"),
        ({"command": "approve", "customer": "9e", "reason": "  "}, 422, "reason"),
        ({"command": "approve", "reason": "x"}, 422, "needs a rollout_id"),
        ({"command": "explode", "customer": "9e", "reason": "x"}, 422, "command"),
        ({"command": "approve", "customer": "../x", "reason": "x"}, 422, "'../x' is not valid"),
        ({"command": "approve", "customer": "zz", "reason": "x"}, 404, "zz"),
        ({"command": "approve", "rollout_id": "none", "reason": "x"}, 404, "none"),
        ({"command": "release", "customer": "ua", "reason": "x"}, 404, "quarantined"),
        ({"command": "release", "digest": "sha256:" + "a" * 64, "reason": "x"}, 404, "not quarantined"),
        ({"command": "approve", "customer": "9e", "reason": "x", "force": True}, 422, "force"),
        ({"command": "freeze", "customer": "zz", "reason": "x"}, 404, "zz"),
    ],
)
async def test_a_command_that_makes_no_sense_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, world: World, body: dict[str, object], status: int, says: str
):
    answer = await send(client, body)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert not world.ledger.open_commands(10)


async def test_a_rollout_of_another_customer_is_refused(client: httpx.AsyncClient, world: World):
    other = (await client.get("/api/v1/rollouts", params={"customer": "ua"})).json()["items"][0]["id"]
    answer = await send(client, {**APPROVE, "rollout_id": other})
    assert answer.status_code == 422
    assert "belongs to ua" in answer.json()["detail"]


async def test_a_fleet_freeze_needs_no_target(client: httpx.AsyncClient, world: World):
    assert (await send(client, {"command": "freeze", "reason": "change night"})).status_code == 202
    assert world.ledger.open_commands(1)[0].command.customer is None


async def test_draining_ends_a_wait_at_once(world: World):
    async with running(world) as (console, browser), browser() as client:
        task = asyncio.create_task(send(client, APPROVE, wait=60))
        await _accepted(world)
        console.feed.close()
        answer = await asyncio.wait_for(task, 5)
    assert answer.status_code == 202


async def _accepted(world: World) -> None:
    wakeups = world.listen()
    while not world.ledger.open_commands(1):
        await asyncio.to_thread(wakeups.wait, 0.2)


@pytest.mark.parametrize(
    ("header", "kept"), [("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True), ("garbage\x7f", False)]
)
async def test_a_command_is_kept_with_the_trace_of_who_asked(
    client: httpx.AsyncClient, world: World, header: str, kept: bool
):
    assert (await send(client, APPROVE, traceparent=header)).status_code == 202
    assert [row.traceparent for row in world.ledger.open_commands(10)] == [header if kept else None]
