"""The ways to one upstream that B8 compares: directly, through a bare Envoy, through the gateway with ever more on."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import grpc
import numpy as np

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


def a_request() -> bytes:
    """Eight rows of two features, for the model that all ways ask for."""
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default"})
    for name in ("distance", "hour"):
        request.inputs[name].CopyFrom(packed_tensor_from_array(np.arange(8, dtype=np.float32)))
    encoded: bytes = request.SerializeToString()
    return encoded


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


def place(directory: Path, stack: ExitStack) -> Place:
    """The upstream, started until the stack ends, and what the ways to it share."""
    socket, rest = stack.enter_context(_upstream(directory))
    key = SigningKey.create()
    (directory / "jwks.json").write_text(key_set([key]))
    grant = Grant(subject="bench", issuer="roost", audience="roost-predictions", lifetime=3600, customers=("ua",))
    log = directory / "access.log"
    every = GatewaySettings.model_validate({"jwks_file": directory / "jwks.json", "access_log": log, **ALL_ON})
    token = mint(key, grant, now=time.time())
    return Place(directory=directory, socket=socket, rest=rest, settings=every, token=token)


def ways(at: Place, stack: ExitStack) -> list[Way]:
    """Every way, open until the stack ends; the first is without Envoy, the second through a bare one."""
    plain = GatewaySettings()
    tokens = GatewaySettings(jwks_file=at.settings.jwks_file)

    def way(name: str, settings: GatewaySettings, text: Callable[[GatewayConfig], str], token: str | None) -> Way:
        config = at.configured(name, settings)
        process = stack.enter_context(started(config, text(config), flush_ms=FLUSH_MS)).process
        return replace(_opened(name, config.rest, config.grpc, token), pid=process.pid)

    return [
        _opened("direct", at.rest, f"unix:{at.socket}", None),
        way("bare envoy", plain, bare, None),
        way("gateway", plain, render, None),
        way("gateway with tokens", tokens, render, at.token),
        way("gateway, all on", at.settings, lambda config: render(config, TABLE), at.token),
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
