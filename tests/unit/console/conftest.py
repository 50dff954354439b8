"""The console's application over the seeded world, asked in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from deployer.console import app
from deployer.console.app import Console
from roost.settings import ConsoleSettings
from tests.console import seed
from tests.console.world import World

#: Makes a client that comes from this address.
Browser = Callable[..., httpx.AsyncClient]
HERE = "http://127.0.0.1:8088"


@pytest.fixture
def world() -> World:
    return seed.build()


@asynccontextmanager
async def running(world: World, settings: ConsoleSettings | None = None) -> AsyncIterator[tuple[Console, Browser]]:
    console = app.build(world.sources, settings or ConsoleSettings())

    def browser(address: str = "127.0.0.1", base: str = HERE, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(console.app, client=(address, 50000))
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.AsyncClient(transport=transport, base_url=base, headers=sent)

    async with console.app.router.lifespan_context(console.app):
        yield console, browser


@pytest_asyncio.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with running(world) as (_, browser), browser() as opened:
        yield opened
