"""The web application: REST, its description, health, sign-in; the pages are mounted on it by `pages.mount`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from deployer.console import api, problems, sign_in, views
from deployer.console.access import Gate
from deployer.console.desk import Desk
from deployer.console.feed import Feed
from deployer.console.guard import Guard
from deployer.console.reader import Reader
from deployer.console.sources import Sources
from roost import __version__
from roost.contracts.errors import RoostError
from roost.settings import ConsoleSettings

_ABOUT = """
What Roost's on-call engineers see and do, for programs.

* Errors are RFC 9457 problem documents with a `remedy`.
* A command is accepted (202) and done by the deployer; `?wait=10` waits for its outcome (200).
* `Idempotency-Key` makes a repeated POST harmless.
* `/api/v1/events/stream` sends events as they are committed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The application and its parts, as the pages use them."""

    app: FastAPI
    reader: Reader
    desk: Desk
    feed: Feed
    gate: Gate
    settings: ConsoleSettings


def build(sources: Sources, settings: ConsoleSettings) -> Console:
    """The application without pages.

    Raises:
        SettingsInvalid: if the key file cannot be used.
    """
    gate = Gate(settings)
    reader, feed = Reader(sources), Feed(sources.wakeups, sources.clock)
    desk = Desk(sources, feed)
    # Swagger's script and style come from the wheel `fastapi-offline`: no page of ours loads anything from elsewhere.
    app: FastAPI = FastAPIOffline(
        title="Roost",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        lifespan=_lifespan(reader, feed),
    )
    problems.install(app)
    app.include_router(api.build(reader, desk, feed))
    _describe_problems(app)
    _health(app, lambda: readiness(sources, feed))
    sign_in.install(app, gate)
    app.add_middleware(Guard, gate=gate, url=settings.url)
    return Console(app=app, reader=reader, desk=desk, feed=feed, gate=gate, settings=settings)


def readiness(sources: Sources, feed: Feed) -> Mapping[str, str | None]:
    """Ready while the ledger answers. Nodes, store and Airflow may be down: that is what the console shows."""
    try:
        sources.ledger.freezes()
    except RoostError as error:
        return {"ledger": str(error), "live_updates": feed.error}
    return {"ledger": None, "live_updates": feed.error}


def _lifespan(reader: Reader, feed: Feed) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        feed.start()
        yield
        feed.close()
        reader.fleet_reader.close()

    return lifespan


def _health(app: FastAPI, ready: Callable[[], Mapping[str, str | None]]) -> None:
    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    def readyz(response: Response) -> dict[str, object]:
        parts = dict(ready())
        wrong = any(parts.values())
        response.status_code = 503 if wrong else 200
        return {"ready": not wrong, "parts": parts}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _describe_problems(app: FastAPI) -> None:
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        shapes = document.setdefault("components", {}).setdefault("schemas", {})
        shapes.setdefault("Problem", views.Problem.model_json_schema())
        return document

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
