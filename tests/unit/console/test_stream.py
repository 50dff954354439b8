"""The event stream: from a sequence on, as events are committed, until the process drains."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from deployer.console import stream
from deployer.console.feed import Feed
from deployer.console.reader import Reader
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.errors import DatabaseUnavailable
from roost.ports.ledger import OutboxRow, Wakeups
from tests.console.world import World
from tests.unit.console.conftest import running


async def take(lines: AsyncIterator[str], count: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    while len(found) < count:
        block = await asyncio.wait_for(anext(lines), 5)
        found += [json.loads(line[5:]) for line in block.splitlines() if line.startswith("data:")]
    return found


async def test_what_is_there_comes_first_then_what_is_committed(world: World):
    async with running(world) as (console, _):
        last = console.reader.events(after=0, limit=500).last_sequence
        lines = stream.follow(console.reader, console.feed, last - 2)
        assert [event["sequence"] for event in await take(lines, 2)] == [last - 1, last]
        waiting = asyncio.create_task(take(lines, 1))
        world.receive("ua", 2519, "retrain-again")
        (event,) = await waiting
        assert event["subject"] == "ua"
        assert event["type"] == "roost.rollout.received.v1"
        await lines.aclose()


async def test_draining_ends_the_stream(world: World):
    async with running(world) as (console, _):
        last = console.reader.events(after=0, limit=500).last_sequence
        lines = stream.follow(console.reader, console.feed, last)

        async def drained() -> None:
            async for _ in lines:
                console.feed.close()

        await asyncio.wait_for(drained(), 5)


async def test_an_outage_of_the_database_keeps_the_stream_and_its_place(world: World):
    class Flaky(InMemoryLedger):
        outages = 1

        def recent_events(self, *, limit: int, after: int = 0) -> Sequence[OutboxRow]:
            if self.outages:
                self.outages -= 1
                raise DatabaseUnavailable("PostgreSQL does not\nanswer")
            return super().recent_events(limit=limit, after=after)

    flaky = world.ledger = Flaky(world.clock)
    feed, reader = Feed(flaky.wakeups, world.clock), Reader(world.sources)
    feed.start()
    try:
        lines = stream.follow(reader, feed, 0)
        assert await anext(lines) == "retry: 2000\n\n"
        assert await anext(lines) == ": PostgreSQL does not answer\n\n"
        waiting = asyncio.create_task(take(lines, 1))
        world.receive("ua", 1)
        (event,) = await waiting
        assert event["sequence"] == 1
    finally:
        feed.close()


async def test_the_feed_says_while_it_cannot_listen_and_recovers(world: World):
    failures = 1

    def flaky() -> Wakeups:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailable("no listener")
        return world.listen()

    clock = ManualClock()
    feed = Feed(flaky, clock)
    feed.start()
    try:
        await asyncio.wait_for(_until(feed), 5)
        assert clock.monotonic() > 0, "it waits before it tries again"
        assert feed.error is None
    finally:
        feed.close()


async def _until(feed: Feed) -> None:
    while feed.version == 0:
        await feed.changed(0, 1)
