"""A node's process: holds its lock, listens, starts what `wiring` put together, and drains."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import IO

from roost.adapters.gcs import open_store
from roost.contracts.errors import SettingsInvalid
from roost.ports.clock import SystemClock
from roost.settings import Settings
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import BESIDE
from serving.node import wiring
from serving.node.ack import Identity
from serving.node.app.catalogue import NodeFacts
from serving.node.app.wiring import Page, manifests
from serving.node.control import Controls, ControlServer, listening, make_app
from serving.node.engine import Engine
from serving.node.files import write_atomically
from serving.node.gateway_meter import GatewayMeter
from serving.node.gateway_process import retire
from serving.node.key_watch import KeyWatch
from serving.node.layout import Layout
from serving.node.source import LateSource, Source
from serving.node.sync_only import Patience, fill

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """The command line. Addresses are ``host:port``; port 0 takes a free one."""

    pool: str
    #: None takes the host's name.
    name: str | None = None
    control: str = "127.0.0.1:0"
    rest: str = "127.0.0.1:0"
    grpc: str = "127.0.0.1:0"
    #: Fill the cache, write the configuration, and end.
    sync_only: bool = False


def run(settings: Settings, options: NodeOptions, stop: threading.Event) -> None:
    """Run a node until `stop`, then drain. Must be called from a thread that lives as long as the process.

    Raises:
        RoostError: it cannot start; the text names the setting and the remedy.
    """
    name = options.name or re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")
    layout = Layout.of(settings.state_dir, options.pool, name)
    with _locked(layout):
        store = LateSource(settings.storage.bucket, partial(open_store, settings.storage))
        if options.sync_only:
            limit = wiring.cache_bytes(settings.serving)
            fill(store, layout, options.pool, limit_bytes=limit, patience=Patience(stop=stop))
        else:
            _serve(settings, options, name, layout=layout, store=store, stop=stop)


def _serve(
    settings: Settings, options: NodeOptions, name: str, *, layout: Layout, store: Source, stop: threading.Event
) -> None:
    # An empty token, as an unset secret gives, protects nothing.
    token = settings.serving.control_token or None
    control = ControlServer(options.control, token)
    if settings.serving.envoy == BESIDE:
        retire(layout, SystemClock())
    rest, grpc, upstream = _free(
        (options.rest, "REST address"),
        (options.grpc, "gRPC address"),
        ("127.0.0.1:0", "model server's REST address"),
    )
    # On the canary pool only the deployer asks, and only the model server.
    page = None if options.pool == settings.serving.canary_pool else Page(settings, layout, name)
    identity = Identity(node=name, pool=options.pool, rest_address=rest, grpc_address=grpc)
    children = wiring.children(settings, layout, identity, upstream, page)
    engine, watch = wiring.engine(settings, layout, store, children=children, identity=identity)
    children.server.on_exit = children.gateway.on_exit = engine.wake
    children.server.going_on = lambda: not stop.is_set()
    _tell(layout, identity, control.address)
    control.start(make_app(Controls(engine=engine, watch=watch, stop=stop.set), token))
    _wake_at(stop, engine)
    admin = GatewayAdmin(layout.envoy_socket)
    GatewayMeter(admin.answers).start(stop)
    KeyWatch(settings.gateway, admin.stats).start(stop)
    if page:
        facts = NodeFacts(desired=lambda: watch.current, state=lambda: engine.board.state, manifest=manifests(layout))
        page.start(facts, engine.wake)
    try:
        engine.run(stop)
    finally:
        if page:
            page.stop()
        control.stop()
        layout.addresses.unlink(missing_ok=True)


def _tell(layout: Layout, identity: Identity, control: str) -> None:
    """Where this node answers: into its log, and into a file beside its cache."""
    addresses = {
        "node": identity.node,
        "pool": identity.pool,
        "control": control,
        "rest": identity.rest_address,
        "grpc": identity.grpc_address,
    }
    write_atomically(layout.addresses, json.dumps(addresses).encode())
    log.info("node %s of pool %s", identity.node, identity.pool, extra={"action": "listen", **addresses})


def _wake_at(stop: threading.Event, engine: Engine) -> None:
    def wait() -> None:
        stop.wait()
        engine.wake()

    threading.Thread(target=wait, name="stop", daemon=True).start()


def _locked(layout: Layout) -> IO[bytes]:
    """Hold the node's lock; closing the file gives it back, and so does the end of the process."""
    file = layout.lock.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise SettingsInvalid(
            f"another node runs on {layout.root}: give this one another --name, or end that one"
        ) from error
    return file


def _free(*wanted: tuple[str, str]) -> list[str]:
    """These addresses, each with a port that is free now. Raises SettingsInvalid, naming one that is taken."""
    found = []
    # All are held until the last is found: the system may give a port that was let go to the next who asks.
    with ExitStack() as held:
        for address, what in wanted:
            if address in found:
                raise SettingsInvalid(f"{what} {address} is taken by another one of this node: give each its own port")
            host, _, port = address.rpartition(":")
            bound = held.enter_context(listening(host, port, what))
            # The system refuses the next one the same port under another name of the host only where one listens.
            bound.listen()
            found.append(f"{host}:{bound.getsockname()[1]}")
    return found
