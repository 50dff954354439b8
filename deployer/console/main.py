"""The console process: wires the adapters, serves until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from deployer.console import app, pages
from deployer.console.desired_objects import DEADLINE, DesiredObjects
from deployer.console.sources import Sources
from roost.adapters.gcs import open_store
from roost.adapters.node_control import HttpNodeControl
from roost.adapters.node_directory import open_directory
from roost.adapters.postgres import open_ledger, open_wakeups
from roost.contracts.errors import Permanent, SettingsInvalid
from roost.ports.clock import SystemClock
from roost.settings import ConsoleSettings, Settings

log = logging.getLogger(__name__)

#: Seconds that open requests have to finish at a stop.
DRAIN_SECONDS = 5


def run(settings: Settings, stop: threading.Event) -> None:
    """Serve until `stop` is set, then drain.

    Raises:
        SettingsInvalid: the port is taken, or a setting cannot be used.
    """
    with wired(settings) as sources:
        serve(sources, settings.console, stop)


def serve(sources: Sources, settings: ConsoleSettings, stop: threading.Event) -> None:
    """Serve these sources on the settings' address; port 0 takes a free one, which the log names."""
    console = app.build(sources, settings)
    pages.mount(console)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    server = uvicorn.Server(
        uvicorn.Config(
            console.app,
            log_config=None,
            # Its INFO tells of every page that connects.
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    log.info("console answers at http://%s:%d", host, port, extra={"action": "listen", "address": f"{host}:{port}"})
    while thread.is_alive() and not stop.wait(0.5):
        pass
    console.feed.close()
    server.should_exit = True
    thread.join(DRAIN_SECONDS + 5)
    if not stop.is_set():
        raise Permanent("the console's web server ended by itself; the lines above say why")


@contextmanager
def wired(settings: Settings) -> Iterator[Sources]:
    """The real parts, closed at the end. Nothing connects before it is used."""
    from roost.adapters.airflow import open_workflow

    clock = SystemClock()
    ledger = open_ledger(settings.database, clock)
    control = HttpNodeControl(settings.serving.control_token)
    storage = settings.storage.model_copy(update={"deadline_seconds": DEADLINE})
    try:
        yield Sources(
            ledger=ledger,
            desired=DesiredObjects(lambda: open_store(storage), clock),
            directory=open_directory(settings.serving),
            control=control,
            workflow=open_workflow(settings.airflow),
            clock=clock,
            pools=(settings.serving.pool, settings.serving.canary_pool),
            wakeups=lambda: open_wakeups(settings.database),
            trace_page=settings.tracing.page,
        )
    finally:
        control.close()
        ledger.close()


def _listen(settings: ConsoleSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise SettingsInvalid(
            f"the console cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "set ROOST_CONSOLE__PORT to a free port, or stop what holds it (`roost down`)"
        ) from error
