"""B8: what the gateway adds to a prediction.

One client asks the same upstream in several ways, in turns, in one run: directly, through a bare Envoy (routes only),
through the gateway as it is by default, and through the gateway with everything on: a token that is bound to a
customer, limits of what it may name, a rate for each customer, a split between two labels, an access log. The upstream
answers at once with what it got, so that what is left is the way. Client, gateway and upstream share the machine's
cores: compare the ways with each other, not with other machines.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import grpc
import numpy as np

from bench import gateway_parts
from bench.figures import Grid
from bench.machine import machine
from bench.processor import processor_seconds
from bench.report import Report
from roost.adapters.tf_messages import packed_tensor_from_array, predict_pb2
from roost.settings import GatewaySettings
from serving.gateway import filters
from serving.gateway.config import GatewayConfig
from serving.gateway.render import bootstrap, render
from serving.gateway.table import RoutingTable
from serving.gateway.tokens import Grant, SigningKey, key_set, mint
from tests.integration.gateway.running import configured, started
from tests.integration.gateway.stand_in import stand_in

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
PATH: Final = "/v1/models/ua.default:predict"
IN_FLIGHT: Final = 32
#: As a node starts its gateway: logs are written once a second.
FLUSH_MS: Final = 1000
_WARM_UP: Final = 50
_COLUMNS: Final = (
    "API",
    "way",
    "p50",
    "p95",
    "p99",
    "over direct",
    "over bare",
    "µs of Envoy",
    f"calls/s, {IN_FLIGHT} at a time",
    "of bare",
)
#: Everything that can be on: nobody reaches the rate.
ALL_ON: Final = {"customer_rate": 100_000, "choices": ("stable", "previous"), "keep_request_ids": True}
TABLE: Final = RoutingTable(splits={"ua.default": {"previous": 10}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the upstream, with both doors open."""

    name: str
    rest: http.client.HTTPConnection
    channel: grpc.Channel
    token: str | None = None
    #: Process of its Envoy, where there is one.
    pid: int | None = None

    def by_rest(self, body: bytes) -> None:
        """One request and its whole answer."""
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        self.rest.request("POST", PATH, body, headers)
        answer = self.rest.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{self.name} answered {answer.status}")

    def by_grpc(self, body: bytes) -> None:
        """One call."""
        self.channel.unary_unary(PREDICT)(body, metadata=self._metadata())

    def many_by_grpc(self, body: bytes, count: int) -> float:
        """Calls per second with `IN_FLIGHT` under way at a time."""
        method, waiting, start = self.channel.unary_unary(PREDICT), [], time.perf_counter()
        for _ in range(count):
            waiting.append(method.future(body, metadata=self._metadata()))
            if len(waiting) == IN_FLIGHT:
                waiting.pop(0).result()
        for call in waiting:
            call.result()
        return count / (time.perf_counter() - start)

    def _metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token}")] if self.token else []


def run(*, calls: int = 100, rounds: int = 20) -> Report:
    """Measure: `calls` per way, API and round; `rounds` turns that the ways take."""
    facts = machine()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-b8-", dir="/tmp")))
        place = _place(directory, stack)
        ways = _ways(place, stack)
        measured = _measured(ways, calls, rounds)
        parts = gateway_parts.grid(place, calls=calls * 4, rounds=max(2, rounds // 4))
    rows = [_row(api, name, measured) for api in ("grpc", "rest") for name in (way.name for way in ways)]
    gateway = {str(row["api"]): row for row in rows if row["way"] == "gateway, all on"}
    return Report(
        program="B8",
        machine=facts,
        sizes={"n a row": calls * rounds, "rounds": rounds},
        grids=[
            Grid(
                title="B8: what the gateway adds to a prediction, milliseconds",
                columns=_COLUMNS,
                rows=tuple(tuple(row.values()) for row in rows),
                notes=(
                    "One client, one call at a time; client, gateway and upstream share the cores.",
                    "µs of Envoy: its processor time a call, which other programs beside it hardly change.",
                ),
            ),
            parts,
        ],
        targets=_targets(gateway),
        samples={"rows": rows},
    )


def _targets(gateway: dict[str, dict[str, str | float | None]]) -> list[tuple[str, str, bool]]:
    found = []
    for api, row in gateway.items():
        for column, limit in (("over_direct_ms", 0.5), ("over_bare_ms", 0.2)):
            value = float(row[column] or 0.0)
            found.append(
                (f"{api}: {column.replace('_', ' ')[:-3]} ≤ {limit} ms p50", f"{value:.3f} ms", value <= limit)
            )
    rate = float(gateway["grpc"]["of_bare_rate"] or 0.0)
    return [*found, ("calls per second ≥ 80 % of a bare Envoy's", f"{rate:.0%}", rate >= 0.8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all ways have in common."""

    directory: Path
    socket: Path
    rest: str
    settings: GatewaySettings
    token: str

    def configured(self, name: str, settings: GatewaySettings) -> GatewayConfig:
        """A gateway's configuration in a directory of its own."""
        home = self.directory / name.replace(" ", "-")
        home.mkdir()
        return configured(home, socket=self.socket, rest=self.rest, settings=settings)


def _place(directory: Path, stack: ExitStack) -> Place:
    socket, rest = stack.enter_context(_upstream(directory))
    key = SigningKey.create()
    (directory / "jwks.json").write_text(key_set([key]))
    grant = Grant(subject="bench", issuer="roost", audience="roost-predictions", lifetime=3600, customers=("ua",))
    log = directory / "access.log"
    every = GatewaySettings.model_validate({"jwks_file": directory / "jwks.json", "access_log": log, **ALL_ON})
    token = mint(key, grant, now=time.time())
    return Place(directory=directory, socket=socket, rest=rest, settings=every, token=token)


def _ways(place: Place, stack: ExitStack) -> list[Way]:
    plain = GatewaySettings()
    tokens = GatewaySettings(jwks_file=place.settings.jwks_file)

    def way(name: str, settings: GatewaySettings, text: Callable[[GatewayConfig], str], token: str | None) -> Way:
        config = place.configured(name, settings)
        process = stack.enter_context(started(config, text(config), flush_ms=FLUSH_MS)).process
        return replace(_opened(name, config.rest, config.grpc, token), pid=process.pid)

    return [
        _opened("direct", place.rest, f"unix:{place.socket}", None),
        way("bare envoy", plain, bare, None),
        way("gateway", plain, render, None),
        way("gateway with tokens", tokens, render, place.token),
        way("gateway, all on", place.settings, lambda config: render(config, TABLE), place.token),
    ]


def _opened(name: str, rest: str, target: str, token: str | None) -> Way:
    host, port = rest.rsplit(":", 1)
    return Way(
        name=name,
        rest=http.client.HTTPConnection(host, int(port)),
        channel=grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]),
        token=token,
    )


def bare(config: GatewayConfig) -> str:
    """The same Envoy with nothing but a route to the upstream: what any proxy of its kind would cost."""
    document = json.loads(json.dumps(bootstrap(config)))
    for listener in document["static_resources"]["listeners"][:2]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager.pop("access_log", None)
        manager["http_filters"] = [filters.router()]
        route = {"match": {"prefix": "/"}, "route": {"cluster": f"model_{listener['name']}"}}
        manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    return json.dumps(document)


@contextmanager
def _upstream(directory: Path) -> Iterator[tuple[Path, str]]:
    """The stand-in in a process of its own, so that it does not share the client's interpreter lock."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(directory, theirs), daemon=True)
    process.start()
    # Only the child holds its end now, so that a child which dies ends the wait, too.
    theirs.close()
    socket, rest = ours.recv()
    try:
        yield socket, rest
    finally:
        ours.send("end")
        process.join(20)


def _serve(directory: Path, pipe: Connection) -> None:
    with stand_in(directory) as server:
        pipe.send((server.socket, server.rest))
        pipe.recv()


def a_request() -> bytes:
    """Eight rows of two features, for the model that all ways ask for."""
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default"})
    for name in ("distance", "hour"):
        request.inputs[name].CopyFrom(packed_tensor_from_array(np.arange(8, dtype=np.float32)))
    encoded: bytes = request.SerializeToString()
    return encoded


def _measured(ways: list[Way], calls: int, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of each call by API and way; ``many`` holds calls per second."""
    row = {"distance": 1400.0, "hour": 17.0, "carrier": "UA", "origin": "EWR"}
    as_json, as_proto = json.dumps({"instances": [row] * 8}).encode(), a_request()
    measured: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):
        for way in ways:
            for api, one, body in (("grpc", way.by_grpc, as_proto), ("rest", way.by_rest, as_json)):
                before = processor_seconds(way.pid) if way.pid else 0.0
                seconds = _timed(one, body, calls if turn else _WARM_UP)
                if turn:
                    measured.setdefault((api, way.name), []).extend(seconds)
                if turn and way.pid:
                    spent = (processor_seconds(way.pid) - before) / calls
                    measured.setdefault((f"{api} envoy", way.name), []).append(spent)
            if turn:
                measured.setdefault(("many", way.name), []).append(way.many_by_grpc(as_proto, calls))
    return measured


def _timed(one: Callable[[bytes], None], body: bytes, calls: int) -> list[float]:
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        one(body)
        seconds.append(time.perf_counter() - start)
    return seconds


def _row(api: str, name: str, measured: dict[tuple[str, str], list[float]]) -> dict[str, str | float | None]:
    def at(way: str, percent: int) -> float:
        return float(np.percentile(measured[api, way], percent)) * 1000

    rate = statistics.median(measured["many", name])
    spent = measured.get((f"{api} envoy", name))
    return {
        "api": api,
        "way": name,
        "p50_ms": at(name, 50),
        "p95_ms": at(name, 95),
        "p99_ms": at(name, 99),
        "over_direct_ms": at(name, 50) - at("direct", 50),
        "over_bare_ms": at(name, 50) - at("bare envoy", 50),
        "envoy_us": statistics.median(spent) * 1e6 if spent else None,
        "calls_per_second": rate if api == "grpc" else None,
        "of_bare_rate": rate / statistics.median(measured["many", "bare envoy"]) if api == "grpc" else None,
    }
