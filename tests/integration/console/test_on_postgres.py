"""The console over PostgreSQL says what it says over memory, and hears of changes by NOTIFY."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from deployer.console import app, stream
from deployer.console.reader import Reader
from deployer.rollout.commands import Commands
from deployer.rollout.parts import Parts
from roost.adapters.postgres import PostgresLedger, open_ledger, open_wakeups
from roost.contracts.policy import Policy
from roost.ports.clock import SystemClock
from roost.ports.ledger import Wakeups
from roost.settings import ConsoleSettings, DatabaseSettings
from tests.console import seed
from tests.console.world import AIRLINES, World

pytestmark = pytest.mark.integration


@pytest.fixture(name="ledger")
def _ledger(database_settings: DatabaseSettings) -> Iterator[PostgresLedger]:
    opened = open_ledger(database_settings)
    yield opened
    opened.close()


@pytest.fixture(name="world")
def _world(ledger: PostgresLedger, database_settings: DatabaseSettings) -> World:
    clock = SystemClock()
    world = World.empty(clock)
    world.ledger, world.listen = ledger, lambda: open_wakeups(database_settings)
    return seed.fill(world)


def test_every_customer_is_explained_as_from_memory(world: World):
    memory = seed.fill(World.empty(world.clock))
    real, fake = Reader(world.sources), Reader(memory.sources)
    for customer in AIRLINES:
        told, expected = real.why(customer, "default"), fake.why(customer, "default")
        assert told.sentence == expected.sentence
        assert [(step.key, step.state, step.sentence) for step in told.steps] == [
            (step.key, step.state, step.sentence) for step in expected.steps
        ]


async def test_a_change_reaches_the_stream_by_notification(world: World):
    console = app.build(world.sources, ConsoleSettings())
    async with console.app.router.lifespan_context(console.app):
        last = console.reader.events(after=0, limit=500).last_sequence
        lines = stream.follow(console.reader, console.feed, last)
        waiting = asyncio.create_task(_first(lines))
        await asyncio.to_thread(world.receive, "ua", 2519, "retrain-again")
        assert (await asyncio.wait_for(waiting, 120))["subject"] == "ua"


async def test_the_deployers_own_handler_does_what_the_console_took_and_says_so(world: World):
    console = app.build(world.sources, ConsoleSettings())
    handler = Commands(Parts(ledger=world.ledger, store=world.store, policy=Policy(), clock=world.clock))
    transport = httpx.ASGITransport(console.app, client=("127.0.0.1", 5))
    async with (
        console.app.router.lifespan_context(console.app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8088") as client,
    ):

        async def ask(**body: str) -> dict[str, object]:
            task = asyncio.create_task(client.post("/api/v1/commands?wait=20", json={"reason": "because", **body}))
            wakeups = open_wakeups_of(world)
            while not await asyncio.to_thread(handler.step):
                await asyncio.to_thread(wakeups.wait, 0.2)
            wakeups.close()
            return (await task).json()

        done = await ask(command="approve", customer="9e", actor="ann")
        assert done["done"] is True
        found = (await client.get(f"/api/v1/rollouts/{done['rollout_id']}")).json()["rollout"]
        assert (found["phase"], found["approved_by"]) == ("PROMOTING", "ann")
        refused = await ask(command="approve", customer="ua")
        assert refused["done"] is False
        released = await ask(command="release", customer="ev")
        assert released["done"] is True
        assert (await client.get("/api/v1/quarantines")).json() == []


def open_wakeups_of(world: World) -> Wakeups:
    return world.sources.wakeups()


async def _first(lines: AsyncIterator[str]) -> dict[str, object]:
    async for block in lines:
        for line in block.splitlines():
            if line.startswith("data:"):
                return json.loads(line[5:])
    raise AssertionError("the stream ended")
