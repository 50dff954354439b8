"""The control port: the node's state and changes, nudge, drain, restart; health and metrics."""

from __future__ import annotations

import asyncio
import hmac
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field, SecretStr

from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.errors import SettingsInvalid
from serving.node.ack import Board
from serving.node.desired import DesiredWatch
from serving.node.engine import Engine

#: Longest that one long poll is held. Seconds.
_LONGEST_POLL: Final = 300.0
_LOOPBACK: Final = ("127.", "[::1]", "localhost")


class Nudge(BaseModel):
    """Body of `/nudge`."""

    generation: int = Field(ge=0)


def make_app(engine: Engine, watch: DesiredWatch, token: SecretStr | None) -> FastAPI:
    """The application. With a token, all but health and metrics ask for it as a bearer."""
    app = FastAPI(title="Roost serving node", openapi_url="/openapi.json")
    guarded = [Depends(_guard(token))]

    @app.get("/state", dependencies=guarded)
    async def state(
        settled: Annotated[int | None, Query(description="Hold the answer until this generation is settled.")] = None,
        wait: Annotated[float, Query(ge=0, le=_LONGEST_POLL, description="Seconds to hold it at most.")] = 0,
    ) -> NodeState:
        """What the node says of itself."""
        return await _settled(engine.board, settled, wait) if settled is not None else engine.board.state

    @app.post("/nudge", status_code=202, dependencies=guarded)
    async def nudge(body: Nudge) -> None:
        """Say that a generation is there; the node reads the desired object itself."""
        watch.nudge(body.generation)

    @app.post("/drain", status_code=202, dependencies=guarded)
    async def drain() -> None:
        """Stop being ready and finish what is under way."""
        engine.ask_drain()

    @app.post("/restart", status_code=202, dependencies=guarded)
    async def restart() -> None:
        """Drain, replace the model server by a fresh one, come back."""
        engine.ask_restart()

    @app.get("/changes", dependencies=guarded)
    async def changes(after: int = 0) -> Sequence[NodeChange]:
        """The latest changes of generations above `after`, oldest first."""
        return engine.board.changes(after=after)

    _add_health(app, engine.board)
    return app


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
        """200 while this node serves its generation through its gateway."""
        state = board.state
        facts = {"ready": state.ready, "draining": state.draining, "generation": state.generation, "error": state.error}
        return JSONResponse(facts, status_code=200 if state.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """In Prometheus' text form."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
