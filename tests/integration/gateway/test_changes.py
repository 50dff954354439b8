"""A gateway that runs takes up changes at once: no connection ends, no request fails, under load. Real Envoy."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.ports.clock import SystemClock
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.config import GatewayConfig
from serving.gateway.configuration import Configuration, Part, as_text
from serving.gateway.live import LiveFiles
from serving.gateway.render import configuration
from serving.gateway.table import Mirror, RoutingTable
from serving.node.gateway import EnvoyGateway
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.running import configured
from tests.integration.gateway.stand_in import StandIn
from tests.parts import free_port

pytestmark = pytest.mark.integration

REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()
STABLE_ONLY = RoutingTable()
PREVIOUS_ONLY = RoutingTable(splits={"ua.default": {"previous": 100}})


class Gateway:
    """A node's gateway, and one connection of each kind that is never made anew."""

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.steered = EnvoyGateway(config, "auto", SystemClock())
        self._channel = grpc.insecure_channel(config.grpc)
        self._rest = http.client.HTTPConnection(config.rest, timeout=60)
        self._rest.auto_open = 0

    def start(self) -> None:
        until = time.monotonic() + 60
        while not self.steered.tend():
            assert time.monotonic() < until, "the gateway does not come up"
            time.sleep(0.02)
        self._rest.close()
        self._rest.connect()

    def by_rest(self) -> str:
        """The label that answered. An ended connection raises."""
        self._rest.request("POST", "/v1/models/ua.default:predict", b"{}", {"content-type": "application/json"})
        answer = self._rest.getresponse()
        path = json.loads(answer.read())["path"]
        assert answer.status == 200
        return str(path.split("/labels/")[1].split(":")[0])

    def by_grpc(self) -> str:
        answer = self._channel.unary_unary(PREDICT)(REQUEST, timeout=60)
        return str(predict_pb2.PredictRequest.FromString(answer).model_spec.version_label)

    def connections(self, door: str) -> int:
        """All that were ever made to it."""
        lines = GatewayAdmin(self.config.admin_socket).stats().splitlines()
        (found,) = [
            line for line in lines if line.startswith("envoy_http_downstream_cx_total{") and f'"{door}"' in line
        ]
        return int(found.rsplit(" ", 1)[1])

    def stop(self) -> None:
        self.steered.stop()
        self._channel.close()
        self._rest.close()


@pytest.fixture
def gateway(model_server: StandIn, tmp_path: Path) -> Iterator[Gateway]:
    for part in ("gateway", "logs"):
        (tmp_path / part).mkdir()
    it = Gateway(configured(tmp_path / "gateway", socket=model_server.socket, rest=model_server.rest))
    try:
        it.start()
        yield it
    finally:
        it.stop()


def refused(gateway: Gateway) -> bool:
    """Whether Envoy is up, says that it is ready, and has refused a file of routes."""
    admin = GatewayAdmin(gateway.config.admin_socket)
    if not admin.ready():
        return False
    lines = admin.stats().splitlines()
    return any(line.startswith("envoy_http_rds_update_rejected{") and not line.endswith(" 0") for line in lines)


def test_a_gateway_that_refuses_its_routes_is_never_called_ready(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    """It would answer 404 to everybody, behind a node that says that all is well."""
    whole = Configuration.parts

    def broken(self: Configuration) -> dict[str, Part]:
        parts = whole(self)
        routes = parts["rest"]
        # RE2 programs above a size are refused by Envoy when it reads the file.
        return parts | {"rest": replace(routes, text=routes.text.replace('"regex":"', '"regex":"(a{900}){900}', 1))}

    gateway.steered.stop()
    monkeypatch.setattr(Configuration, "parts", broken)
    until = time.monotonic() + 60
    while not refused(gateway):
        assert not gateway.steered.tend()
        assert time.monotonic() < until, "Envoy does not look at its routes"
        time.sleep(0.02)
    assert not any(gateway.steered.tend() for _ in range(20))
    monkeypatch.undo()
    gateway.steered.stop()
    gateway.start()
    assert gateway.by_rest() == "stable"


def test_changes_under_load_end_no_connection_and_fail_no_request(gateway: Gateway):
    stop = threading.Event()
    counted = {"rest": 0, "grpc": 0}

    def ask(door: str, one: Callable[[], str]) -> set[str]:
        seen = set()
        while not stop.is_set():
            seen.add(one())
            counted[door] += 1
        return seen

    with ThreadPoolExecutor(2) as pool:
        try:
            asking = [pool.submit(ask, "rest", gateway.by_rest), pool.submit(ask, "grpc", gateway.by_grpc)]
            for change in range(20):
                before = dict(counted)
                gateway.steered.steer((PREVIOUS_ONLY, STABLE_ONLY)[change % 2])
                until = time.monotonic() + 60
                while any(counted[door] < before[door] + 10 for door in counted) and time.monotonic() < until:
                    assert not any(each.done() for each in asking), [each.result() for each in asking if each.done()]
                    time.sleep(0.002)
        finally:
            stop.set()
        seen = [each.result(60) for each in asking]

    assert seen == [{"stable", "previous"}, {"stable", "previous"}]
    assert (gateway.connections("rest"), gateway.connections("grpc")) == (1, 1)


def steered(gateway: Gateway, table: RoutingTable) -> None:
    """Until the gateway says that it follows. A node tries again, too, where its gateway takes over two seconds."""
    until = time.monotonic() + 60
    while not gateway.steered.steer(table):
        assert time.monotonic() < until, "the gateway does not follow"


def test_once_told_it_does_so_already(gateway: Gateway):
    for table, label in ((PREVIOUS_ONLY, "previous"), (STABLE_ONLY, "stable")) * 3:
        steered(gateway, table)
        assert [gateway.by_rest() for _ in range(5)] == [label] * 5
        assert [gateway.by_grpc() for _ in range(5)] == [label] * 5


def test_what_it_was_told_outlives_the_process(gateway: Gateway):
    steered(gateway, PREVIOUS_ONLY)
    gateway.steered.stop()
    gateway.start()
    assert gateway.by_rest() == "previous"


def test_a_gateway_that_is_gone_says_that_it_did_not_follow(gateway: Gateway):
    gateway.config.admin_socket.unlink()
    assert not gateway.steered.steer(PREVIOUS_ONLY)


def test_envoy_accepts_every_table_in_both_forms(model_server: StandIn, tmp_path: Path):
    config = configured(tmp_path, socket=model_server.socket, rest=model_server.rest)
    mirror = Mirror(percent=12.5, rest=f"127.0.0.1:{free_port()}", grpc=f"[::1]:{free_port()}")
    for table in (
        RoutingTable(),
        PREVIOUS_ONLY,
        RoutingTable(splits={"dl.default": {"previous": 1, "other": 2.5}}, mirrors={"ua.default": mirror}),
    ):
        found = configuration(config, table)
        (tmp_path / "whole.json").write_text(as_text(found.whole()))
        binary.validate(tmp_path / "whole.json")
        binary.validate(LiveFiles(tmp_path, GatewayAdmin(config.admin_socket), SystemClock()).start(found))
