"""Puts a node together: its two children, its cache, its loops. Nothing runs yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from roost.adapters.grpc_tls import ClientTls
from roost.ports.clock import SystemClock
from roost.settings import ServingSettings, Settings
from serving.gateway.config import GatewayConfig
from serving.node.ack import Identity
from serving.node.app.wiring import Page
from serving.node.cache import DiskCache
from serving.node.desired import DesiredReader, DesiredWatch
from serving.node.engine import Engine
from serving.node.gateway import EnvoyGateway
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
from serving.node.source import Source
from serving.node.sync import FILES_AT_ONCE, VERSIONS_AT_ONCE, Downloads, Fetcher
from serving.node.traces import NodeTraces
from serving.node.workers import Workers

_MB: Final = 1024 * 1024
_PROOFS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """The programs that a node keeps running."""

    server: TfModelServer
    gateway: EnvoyGateway


def children(settings: Settings, layout: Layout, identity: Identity, upstream: str, page: Page | None) -> Children:
    """Model server and gateway of this node.

    Args:
        settings: names the programs and what the gateway allows.
        layout: where their sockets and files are.
        identity: with the addresses at which the gateway answers.
        upstream: where the model server answers REST, ``host:port``.
        page: the node's own page behind the gateway, if it has one.
    """
    config = GatewayConfig(
        rest=identity.rest_address,
        grpc=identity.grpc_address,
        upstream_grpc_socket=layout.model_server_socket,
        upstream_rest=upstream,
        admin_socket=layout.envoy_socket,
        settings=settings.gateway,
        work_dir=layout.gateway,
        page_socket=layout.page_socket if page else None,
        candidates=identity.pool == settings.serving.canary_pool,
        tls=ClientTls.of(settings.serving),
    )
    server = TfModelServer(
        find_program(settings.serving.model_server),
        layout,
        rest_port=int(upstream.rpartition(":")[2]),
        load_threads=settings.serving.load_threads,
    )
    gateway = EnvoyGateway(config, settings.serving.envoy, SystemClock())
    if page:
        gateway.recorded = lambda: page.tap_rate
    return Children(server=server, gateway=gateway)


def engine(
    settings: Settings, layout: Layout, store: Source, *, children: Children, identity: Identity
) -> tuple[Engine, DesiredWatch]:
    """What follows the desired state, and what watches for a newer one."""
    clock = SystemClock()
    traces = NodeTraces(identity.node, identity.pool, clock)
    reader = DesiredReader(store, identity.pool, layout.desired, traces)
    holdings = Holdings(desired=reader.current)
    woken: list[Engine] = []

    def wake() -> None:
        for engine in woken:
            engine.wake()

    watch = DesiredWatch(reader, poll_seconds=settings.serving.poll_seconds, clock=clock, wake=wake)
    # What is held, and what a generation wants that was read and not yet followed.
    in_use = partial(_in_use, holdings, reader)
    cache = DiskCache(layout.cache, limit_bytes=cache_bytes(settings.serving), in_use=in_use)
    fetcher = Fetcher(store, cache, layout.incoming, Workers("fetch-file", FILES_AT_ONCE))
    intake = Intake(holdings, Downloads(fetcher, Workers("fetch", VERSIONS_AT_ONCE), wake), cache, clock)
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
    made = Engine(parts, children.gateway, watch, intake, identity=identity, layout=layout)
    woken.append(made)
    made.board.listen(lambda: traces.settled(made.board.state))
    return made, watch


def cache_bytes(serving: ServingSettings) -> int:
    """How much of the disk the node's cache may take."""
    return int(serving.cache_mb * _MB)


def _budget(serving: ServingSettings) -> Budget:
    return Budget(
        factor=serving.neighbour_budget,
        floor=serving.neighbour_floor_seconds,
        patience=serving.neighbour_patience_seconds,
    )


def _in_use(holdings: Holdings, reader: DesiredReader) -> frozenset[Key]:
    return holdings.in_use() | reader.wanted()
