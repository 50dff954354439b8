"""The control port: the node's state and changes, nudge, drain, restart, stop; health, metrics and their description.

Open to everybody who reaches the port: `/healthz`, `/readyz` and `/metrics`, since probes and Prometheus bring no token
and no answer names a customer; `/docs` and `/openapi.json`, which describe. All else asks for the control token.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response, params
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field, SecretStr

from roost import __version__
from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.errors import SettingsInvalid
from serving.node.ack import Board
from serving.node.desired import DesiredWatch
from serving.node.engine import Engine
from serving.node.journal import KEPT
from serving.node.mirroring import add_mirrors

#: Longest that one long poll is held. Seconds.
_LONGEST_POLL: Final = 300.0
_LOOPBACK: Final = ("127.", "[::1]", "localhost")


class Nudge(BaseModel):
    """Body of `/nudge`."""

    generation: int = Field(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the port steers."""

    engine: Engine
    watch: DesiredWatch
    #: Ends the node, drained.
    stop: Callable[[], None]


def make_app(controls: Controls, token: SecretStr | None) -> FastAPI:
    """The application. With a token, all but what the module names ask for it as a bearer."""
    # Swagger's script and style come from the wheel `fastapi-offline`: the page loads nothing from elsewhere.
    app: FastAPI = FastAPIOffline(
        title="Roost serving node",
        version=__version__,
        description="Replies 202 where the node will do it in its next pass; `/state` says when it has.",
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
    )
    guarded = [
        Depends(HTTPBearer(auto_error=False, description="ROOST_SERVING__CONTROL_TOKEN")),
        Depends(_guard(token)),
    ]
    _add_looking(app, controls.engine, guarded)
    _add_steering(app, controls, guarded)
    add_mirrors(app, controls.engine, guarded)
    _add_health(app, controls.engine.board)
    return app


def _add_looking(app: FastAPI, engine: Engine, guarded: Sequence[params.Depends]) -> None:

    @app.get("/state", dependencies=guarded)
    async def state(
        settled: Annotated[int | None, Query(description="Hold the answer until this generation is settled.")] = None,
        wait: Annotated[float, Query(ge=0, le=_LONGEST_POLL, description="Seconds to hold it at most.")] = 0,
    ) -> NodeState:
        """What the node says of itself."""
        return await _settled(engine.board, settled, wait) if settled is not None else engine.board.state

    @app.get("/changes", dependencies=guarded, response_model_exclude_none=True)
    async def changes(
        after: Annotated[int, Query(description="Only of generations above this one.")] = -1,
        name: Annotated[str | None, Query(description="Only of this served name, and of the whole node.")] = None,
        limit: Annotated[int, Query(ge=1, le=KEPT, description="The last so many.")] = 1000,
    ) -> Sequence[NodeChange]:
        """What changed here, when, and by which generation and rollout: oldest first, kept over restarts."""
        return engine.journal.since(after=after, name=name, limit=limit)


def _add_steering(app: FastAPI, controls: Controls, guarded: Sequence[params.Depends]) -> None:
    engine = controls.engine

    @app.post("/nudge", status_code=202, dependencies=guarded)
    async def nudge(body: Nudge) -> None:
        """Say that a generation is there; the node reads the desired object itself."""
        controls.watch.nudge(body.generation)

    @app.post("/drain", status_code=202, dependencies=guarded)
    async def drain() -> None:
        """Stop being ready, and go on answering: for as long as you like, until `/undrain` or `/restart`."""
        engine.ask_drain()

    @app.post("/undrain", status_code=202, dependencies=guarded, responses={409: {"description": "It restarts."}})
    async def undrain() -> None:
        """Take a drain back: be ready again."""
        if not engine.ask_back():
            raise HTTPException(409, "a restart is under way: the node is ready again by itself once it is over")

    @app.post("/restart", status_code=202, dependencies=guarded)
    async def restart() -> None:
        """Drain, replace the model server by a fresh one, come back."""
        engine.ask_restart()

    @app.post("/stop", status_code=202, dependencies=guarded)
    async def stop() -> None:
        """Drain, and end the process, as SIGTERM does. Whoever keeps it running starts it again."""
        controls.stop()


class ControlServer:
    """Serves the application from a thread of its own."""

    def __init__(self, address: str, token: SecretStr | None) -> None:
        """Take the port at once; 0 takes a free one.

        Raises:
            SettingsInvalid: the port is taken, the address is none, or others can reach it and no token is set.
        """
        host, _, port = address.rpartition(":")
        if token is None and not host.startswith(_LOOPBACK):
            raise SettingsInvalid(
                f"others can reach the control port {address}: set ROOST_SERVING__CONTROL_TOKEN, or use 127.0.0.1"
            )
        self._socket = listening(host, port, "control port")
        # Whoever asks before the application answers waits, rather than being refused.
        self._socket.listen()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, app: FastAPI) -> None:
        """Begin to answer."""
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, lifespan="off")
        )
        arguments = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=arguments, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cut what is held, and stop answering."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(5)
        self._socket.close()


def listening(host: str, port: str, what: str) -> socket.socket:
    """A socket bound to that address.

    Raises:
        SettingsInvalid: naming `what`, the address and what is wrong with it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else "not of the form host:port"
        raise SettingsInvalid(f"the {what} {host}:{port} cannot be used: {why}; choose another, or port 0") from error
    return bound


async def _settled(board: Board, generation: int, wait: float) -> NodeState:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        loop.call_soon_threadsafe(changed.set)

    forget = board.listen(tell)
    end = loop.time() + wait
    try:
        while True:
            changed.clear()
            state = board.state
            if (state.settled and state.generation >= generation) or loop.time() >= end:
                return state
            try:
                await asyncio.wait_for(changed.wait(), end - loop.time())
            except TimeoutError:
                continue
    finally:
        forget()


def _guard(token: SecretStr | None) -> Callable[..., Awaitable[None]]:
    async def check(authorization: Annotated[str | None, Header()] = None) -> None:
        if token is None:
            return
        expected = f"Bearer {token.get_secret_value()}"
        if not hmac.compare_digest((authorization or "").encode(), expected.encode()):
            raise HTTPException(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})

    return check


def _add_health(app: FastAPI, board: Board) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 while requests may be sent here.

        That is from the moment at which the generation current at its start is proved and the gateway stands, and it
        stays so while a newer one is loaded: what is served goes on being served. `settled` tells whether that is over.
        """
        state = board.state
        shown = {"ready", "draining", "settled", "generation", "error"}
        facts = state.model_dump(include=shown)
        return JSONResponse(facts, status_code=200 if state.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """In Prometheus' text form."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
