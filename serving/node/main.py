"""Starts a node: everything is put together here."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import socket
import threading
from dataclasses import dataclass
from functools import partial
from typing import IO, Final

from roost.adapters.gcs import open_store
from roost.adapters.grpc_tls import ClientTls
from roost.contracts.errors import SettingsInvalid
from roost.ports.clock import SystemClock
from roost.settings import ServingSettings, Settings
from serving.gateway.admin import GatewayAdmin
from serving.gateway.config import GatewayConfig
from serving.node.ack import Identity
from serving.node.app.catalogue import NodeFacts
from serving.node.app.wiring import Page, manifests
from serving.node.cache import DiskCache
from serving.node.control import Controls, ControlServer, listening, make_app
from serving.node.desired import DesiredReader, DesiredWatch
from serving.node.engine import Engine
from serving.node.files import write_atomically
from serving.node.gateway import EnvoyGateway
from serving.node.gateway_meter import GatewayMeter
from serving.node.holdings import Holdings
from serving.node.intake import Intake
from serving.node.integrity import Key
from serving.node.journal import Notes
from serving.node.layout import Layout
from serving.node.loading import Parts
from serving.node.memory import MemoryMeter
from serving.node.model_server import TfModelServer, find_program
from serving.node.neighbours import Budget, NeighbourPace
from serving.node.proof import Proof
from serving.node.source import LateSource, Source
from serving.node.sync import FILES_AT_ONCE, VERSIONS_AT_ONCE, Downloads, Fetcher
from serving.node.sync_only import Patience, fill
from serving.node.traces import NodeTraces
from serving.node.workers import Workers

log = logging.getLogger(__name__)

_MB: Final = 1024 * 1024
_PROOFS_AT_ONCE: Final = 4


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
            fill(
                store,
                layout,
                options.pool,
                limit_bytes=int(settings.serving.cache_mb * _MB),
                patience=Patience(stop=stop),
            )
        else:
            _serve(settings, options, name, layout=layout, store=store, stop=stop)


def _serve(
    settings: Settings, options: NodeOptions, name: str, *, layout: Layout, store: Source, stop: threading.Event
) -> None:
    # An empty token, as an unset secret gives, protects nothing.
    token = settings.serving.control_token or None
    control = ControlServer(options.control, token)
    rest, grpc = _free(options.rest, "REST address"), _free(options.grpc, "gRPC address")
    upstream = _free("127.0.0.1:0", "model server's REST address")
    # On the canary pool only the deployer asks, and only the model server.
    page = None if options.pool == settings.serving.canary_pool else Page(settings, layout, name)
    gateway_config = GatewayConfig(
        rest=rest,
        grpc=grpc,
        upstream_grpc_socket=layout.model_server_socket,
        upstream_rest=upstream,
        admin_socket=layout.envoy_socket,
        settings=settings.gateway,
        work_dir=layout.gateway,
        page_socket=layout.page_socket if page else None,
        tap_rate=page.tap_rate if page else 0.0,
        candidates=options.pool == settings.serving.canary_pool,
        tls=ClientTls.of(settings.serving),
    )
    gateway = EnvoyGateway(gateway_config, settings.serving.envoy, SystemClock())
    server = TfModelServer(
        find_program(settings.serving.model_server),
        layout,
        rest_port=int(upstream.rpartition(":")[2]),
        load_threads=settings.serving.load_threads,
    )
    identity = Identity(node=name, pool=options.pool, rest_address=rest, grpc_address=grpc)
    children = _Children(server=server, gateway=gateway)
    engine, watch = _engine(settings, layout, store, children=children, identity=identity)
    server.on_exit = gateway.on_exit = engine.wake
    server.going_on = lambda: not stop.is_set()
    addresses = {"node": name, "pool": options.pool, "control": control.address, "rest": rest, "grpc": grpc}
    write_atomically(layout.addresses, json.dumps(addresses).encode())
    log.info("node %s of pool %s", name, options.pool, extra={"action": "listen", **addresses})
    control.start(make_app(Controls(engine=engine, watch=watch, stop=stop.set), token))
    _wake_at(stop, engine)
    GatewayMeter(GatewayAdmin(layout.envoy_socket).answers).start(stop)
    if page:
        facts = NodeFacts(desired=lambda: watch.current, state=lambda: engine.board.state, manifest=manifests(layout))
        page.start(facts)
    try:
        engine.run(stop)
    finally:
        if page:
            page.stop()
        control.stop()
        layout.addresses.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Children:
    server: TfModelServer
    gateway: EnvoyGateway


def _engine(
    settings: Settings, layout: Layout, store: Source, *, children: _Children, identity: Identity
) -> tuple[Engine, DesiredWatch]:
    clock = SystemClock()
    traces = NodeTraces(identity.node, identity.pool, clock)
    reader = DesiredReader(store, identity.pool, layout.desired, traces)
    holdings = Holdings(desired=reader.current)
    # What is held, and what a generation wants that was read and not yet followed.
    in_use = partial(_in_use, holdings, reader)
    cache = DiskCache(layout.cache, limit_bytes=int(settings.serving.cache_mb * _MB), in_use=in_use)
    woken: list[Engine] = []

    def wake() -> None:
        for engine in woken:
            engine.wake()

    watch = DesiredWatch(reader, poll_seconds=settings.serving.poll_seconds, clock=clock, wake=wake)
    fetcher = Fetcher(store, cache, layout.incoming, Workers("fetch-file", FILES_AT_ONCE))
    downloads = Downloads(fetcher, Workers("fetch", VERSIONS_AT_ONCE), wake)
    parts = Parts(
        holdings=holdings,
        server=children.server,
        cache=cache,
        # On a canary node the deployer's checks judge the answers, each by its name.
        proof=Proof(children.server, cache, finite=identity.pool != settings.serving.canary_pool),
        clock=clock,
        proofs=Workers("proof", _PROOFS_AT_ONCE),
        deadline=settings.serving.reload_deadline_seconds,
        notes=Notes(holdings, clock, traces),
        memory=MemoryMeter(),
        pace=NeighbourPace(_budget(settings.serving), children.gateway.latencies, clock),
    )
    intake = Intake(holdings, downloads, cache, clock)
    engine = Engine(parts, children.gateway, watch, intake, identity=identity, layout=layout)
    woken.append(engine)
    engine.board.listen(lambda: traces.settled(engine.board.state))
    return engine, watch


def _budget(serving: ServingSettings) -> Budget:
    return Budget(
        factor=serving.neighbour_budget,
        floor=serving.neighbour_floor_seconds,
        patience=serving.neighbour_patience_seconds,
    )


def _in_use(holdings: Holdings, reader: DesiredReader) -> frozenset[Key]:
    return holdings.in_use() | reader.wanted()


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


def _free(address: str, what: str) -> str:
    """The address with a port that is free now. Raises SettingsInvalid where it is taken."""
    host, _, port = address.rpartition(":")
    with listening(host, port, what) as bound:
        return f"{host}:{bound.getsockname()[1]}"
