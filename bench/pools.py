"""FRONT: what it costs to find a name's pool among many, and to move names.

One client asks one upstream through a front of two pools, with more and more names in its placement, in turns with a
front without a placement. What was not chosen runs beside it: a route a name, and Envoy's own tree of path prefixes.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc

from bench.figures import Grid, percentile
from bench.gateway_ways import PREDICT
from bench.machine import machine
from bench.processor import processor_seconds
from bench.report import Report
from roost.adapters.tf_messages import predict_pb2
from roost.contracts.placement import Placement
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.configuration import Configuration
from serving.gateway.front import FrontConfig, front
from serving.gateway.live import LiveFiles
from tests.integration.gateway.replica import Replica
from tests.parts import free_port

NAMES: Final = (10, 1_000, 10_000)
#: Structures: chosen, and what was not.
TABLE, ROUTES, TREE = "table", "a route a name", "tree of prefixes"
#: By structure, names and API: seconds of each call, and of Envoy's processor time in all.
Measured: TypeAlias = dict[tuple[str, int, str], tuple[list[float], float]]
_WARM_UP: Final = 100
_PATH_INPUT: Final = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.Route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One running front."""

    structure: str
    names: int
    rest: http.client.HTTPConnection
    channel: grpc.Channel
    pid: int
    #: Seconds: documents made, Envoy follows one moved name.
    rendered: float
    moved: float
    #: Bytes of Envoy's memory.
    resident: int

    def by_rest(self) -> None:
        """Ask for the last name."""
        self.rest.request("POST", f"/v1/models/{_name(self.names - 1)}:predict", b"{}")
        answer = self.rest.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{self.structure} with {self.names} names answered {answer.status}")

    def by_grpc(self) -> None:
        """Ask for the last name."""
        request = predict_pb2.PredictRequest(model_spec={"name": _name(self.names - 1)}).SerializeToString()
        self.channel.unary_unary(PREDICT)(request, timeout=10)


def run(*, calls: int = 100, rounds: int = 10) -> Report:
    """Measure: `calls` per way, API and round; `rounds` turns that the ways take."""
    facts = machine()
    with ExitStack() as stack:
        ways = _ways(stack)
        measured = _measured(ways, calls, rounds)
    rows = [_row(way, measured) for way in ways]
    spent = {names: used / len(seconds) * 1e6 for (_, names, _), (seconds, used) in _grpc_by_table(measured).items()}
    added = spent[NAMES[-1]] - spent[NAMES[0]]
    return Report(
        program="FRONT",
        machine=facts,
        sizes={"n a row": calls * rounds, "pools": 2},
        grids=[
            Grid(
                title="FRONT: finding a name's pool, and moving a name",
                columns=(
                    "structure",
                    "names",
                    "REST p50 ms",
                    "REST µs of Envoy",
                    "gRPC p50 ms",
                    "gRPC µs of Envoy",
                    "render ms",
                    "move a name ms",
                    "Envoy MB",
                ),
                rows=tuple(rows),
                notes=(
                    "0 names: no placement, and no message is read. µs of Envoy: its processor time a call.",
                    "Routes and tree know REST only, whose name stands in the path.",
                ),
            )
        ],
        targets=[("gRPC: among 10,000 names Envoy works ≤ 20 µs longer than among 10", f"{added:.1f} µs", added <= 20)],
        samples={"rows": rows},
    )


def _name(number: int) -> str:
    return f"c{max(0, number):05d}.default"


def _ways(stack: ExitStack) -> list[Way]:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-front-", dir="/tmp")))
    address = stack.enter_context(_replica())
    nodes = [replace(address, pool=pool) for pool in ("default", "large")]
    wanted = [(TABLE, 0), *((TABLE, names) for names in NAMES)]
    wanted += [(structure, names) for structure in (ROUTES, TREE) for names in NAMES]
    return [stack.enter_context(_started(directory / f"{n}", nodes, *each)) for n, each in enumerate(wanted)]


@contextmanager
def _replica() -> Iterator[NodeAddress]:
    """A node that answers at once, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join(20)


def _serve(pipe: Connection) -> None:
    replica = Replica("all")
    pipe.send(replica.address)
    pipe.recv()
    replica.close()


@contextmanager
def _started(home: Path, nodes: Sequence[NodeAddress], structure: str, names: int) -> Iterator[Way]:
    home.mkdir()
    config = FrontConfig(
        rest=f"127.0.0.1:{free_port()}",
        grpc=f"127.0.0.1:{free_port()}",
        nodes=nodes,
        admin_socket=home / "admin.sock",
        settings=GatewaySettings(),
        placement=_placement(names, "large") if names else None,
    )
    admin = GatewayAdmin(config.admin_socket)
    files = LiveFiles(home, admin, SystemClock(), deadline=120)
    shaped = _SHAPES[structure]
    began = time.perf_counter()
    file = files.start(shaped(config))
    rendered = time.perf_counter() - began
    with (home / "envoy.log").open("wb") as log:
        process = subprocess.Popen(binary.command(binary.find_envoy("auto"), file), stdout=log, stderr=log)
    try:
        _until_ready(admin, process)
        moved = 0.0
        if names:
            moved = files.change(shaped(replace(config, placement=_placement(names, "default"))))
        host, port = config.rest.rsplit(":", 1)
        with grpc.insecure_channel(config.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield Way(
                structure=structure,
                names=names,
                rest=http.client.HTTPConnection(host, int(port)),
                channel=channel,
                pid=process.pid,
                rendered=rendered,
                moved=moved,
                resident=_resident(process.pid),
            )
    finally:
        process.terminate()
        process.wait(10)


def _placement(names: int, first: str) -> Placement:
    places = {_name(number): ("large", "default")[number % 2] for number in range(names)}
    return Placement(otherwise="default", names=places | {_name(0): first})


def _routes(config: FrontConfig) -> Configuration:
    """The REST door with a route for each name instead of the table."""
    return _rest_host(config, lambda host, names: host.update(routes=[_route(*each) for each in names.items()]))


def _tree(config: FrontConfig) -> Configuration:
    """The REST door with Envoy's tree of prefixes instead of the table."""

    def shape(host: dict[str, Any], names: dict[str, str]) -> None:
        found = {}
        for name, cluster in names.items():
            action = {"name": "route", "typed_config": {"@type": _ROUTE, **_route(name, cluster)}}
            found[f"/v1/models/{name}:"] = {"action": action}
        path = {"name": "path", "typed_config": {"@type": _PATH_INPUT, "header_name": ":path"}}
        host.pop("routes")
        host["matcher"] = {"matcher_tree": {"input": path, "prefix_match_map": {"map": found}}}

    return _rest_host(config, shape)


def _rest_host(config: FrontConfig, shape: Callable[[dict[str, Any], dict[str, str]], None]) -> Configuration:
    configuration = front(config)
    listeners = json.loads(json.dumps(configuration.listeners))
    manager = listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = [each for each in manager["http_filters"] if not each["name"].endswith("lua")]
    host = manager["route_config"]["virtual_hosts"][0]
    places = config.placement.names if config.placement else {}
    shape(host, {name: f"rest/{pool}" for name, pool in places.items()})
    return replace(configuration, listeners=listeners)


def _route(name: str, cluster: str) -> dict[str, object]:
    retries = {"retry_on": "connect-failure,refused-stream,reset,retriable-status-codes", "num_retries": 2}
    route = {"cluster": cluster, "timeout": "30s", "retry_policy": retries}
    return {"match": {"prefix": f"/v1/models/{name}:"}, "route": route}


_SHAPES: Final[dict[str, Callable[[FrontConfig], Configuration]]] = {
    TABLE: front,
    ROUTES: _routes,
    TREE: _tree,
}


def _measured(ways: Sequence[Way], calls: int, rounds: int) -> Measured:
    measured: Measured = {}
    for turn in range(rounds + 1):
        for way in ways:
            apis = {"rest": way.by_rest} | ({"grpc": way.by_grpc} if way.structure == TABLE else {})
            for api, one in apis.items():
                before, seconds = processor_seconds(way.pid), _timed(one, calls if turn else _WARM_UP)
                spent = processor_seconds(way.pid) - before
                if turn:
                    known = measured.setdefault((way.structure, way.names, api), ([], 0.0))
                    measured[way.structure, way.names, api] = ([*known[0], *seconds], known[1] + spent)
    return measured


def _grpc_by_table(measured: Measured) -> Measured:
    return {key: found for key, found in measured.items() if (key[0], key[2]) == (TABLE, "grpc")}


def _timed(one: Callable[[], None], calls: int) -> list[float]:
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        one()
        seconds.append(time.perf_counter() - start)
    return seconds


def _row(way: Way, measured: Measured) -> tuple[str | float | int | None, ...]:
    def of(api: str) -> tuple[float | None, float | None]:
        seconds, spent = measured.get((way.structure, way.names, api), ([], 0.0))
        return (percentile(seconds, 50) * 1000, spent / len(seconds) * 1e6) if seconds else (None, None)

    times = (*of("rest"), *of("grpc"))
    return way.structure, way.names, *times, way.rendered * 1000, way.moved * 1000 or None, way.resident / 1e6


def _until_ready(admin: GatewayAdmin, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not admin.ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("a front did not start")
        time.sleep(0.02)


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(found.split()[1]) * 1024
