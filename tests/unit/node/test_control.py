"""The control port: who may ask what, and what it answers. In process."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from serving.gateway.table import Mirror, RoutingTable
from serving.node.control import Controls, make_app
from tests.unit.node.world import Node

UA = "ua.default"
OPEN = ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"]
MIRROR = {"percent": 20, "rest": "127.0.0.1:1", "grpc": "127.0.0.1:2", "seconds": 5}
GUARDED = [
    ("GET", "/state", None),
    ("GET", "/changes", None),
    ("POST", "/nudge", {"generation": 1}),
    ("POST", "/drain", None),
    ("POST", "/undrain", None),
    ("POST", "/restart", None),
    ("POST", "/stop", None),
    ("PUT", "/mirrors/{name}", MIRROR),
    ("DELETE", "/mirrors/{name}", None),
    ("GET", "/answered/{name}", None),
]


class Client:
    """Asks the application itself, without a socket."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, **rest: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                return await client.request(method, path, **rest)

        return asyncio.run(ask())

    def get(self, path: str, **rest: object) -> httpx.Response:
        return self.request("GET", path, **rest)

    def post(self, path: str, **rest: object) -> httpx.Response:
        return self.request("POST", path, **rest)


@dataclass
class Port:
    client: Client
    node: Node
    stopped: threading.Event

    def post(self, path: str) -> int:
        status = self.client.post(path, headers={"Authorization": "Bearer secret"}).status_code
        self.node.step()
        return status


@pytest.fixture
def port(node: Node) -> Port:
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    stopped = threading.Event()
    controls = Controls(engine=node.engine, watch=node.watch, stop=stopped.set)
    return Port(Client(make_app(controls, SecretStr("secret"))), node, stopped)


def test_probes_metrics_and_the_description_need_no_token_and_name_no_customer(port: Port):
    for path in OPEN:
        answer = port.client.get(path)
        assert answer.status_code == 200, path
        assert UA not in answer.text, path


@pytest.mark.parametrize("given", [None, "Bearer wrong", "secret", "Basic secret", "Bearer secretx"])
def test_everything_else_asks_for_the_token(port: Port, given: str | None):
    headers = {"Authorization": given} if given else {}
    for method, path, body in GUARDED:
        answer = port.client.request(method, path.format(name=UA), json=body, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    port.node.step()
    assert port.node.state.ready
    assert not port.stopped.is_set()


def test_the_token_opens_it(port: Port):
    for method, path, body in GUARDED:
        answer = port.client.request(
            method, path.format(name=UA), json=body, headers={"Authorization": "Bearer secret"}
        )
        assert answer.status_code in {200, 202}, path


def test_a_mirror_is_set_for_a_time_and_ended_by_hand(port: Port):
    headers = {"Authorization": "Bearer secret"}
    assert port.client.request("PUT", f"/mirrors/{UA}", json=MIRROR, headers=headers).status_code == 202
    port.node.engine.step()
    wanted = Mirror(percent=20, rest="127.0.0.1:1", grpc="127.0.0.1:2")
    assert port.node.gateway.table == RoutingTable(mirrors={UA: wanted})
    assert port.client.request("DELETE", f"/mirrors/{UA}", headers=headers).status_code == 202
    port.node.engine.step()
    assert port.node.gateway.table.empty


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ua", {}),
        (UA, {"percent": 0}),
        (UA, {"percent": 101}),
        (UA, {"rest": "canary.example.com:8501"}),
        (UA, {"grpc": "127.0.0.1"}),
        (UA, {"seconds": 1e9}),
    ],
)
def test_a_mirror_that_cannot_be_is_refused_and_changes_nothing(port: Port, name: str, change: dict[str, object]):
    headers = {"Authorization": "Bearer secret"}
    assert port.client.request("PUT", f"/mirrors/{name}", json=MIRROR | change, headers=headers).status_code == 422
    port.node.engine.step()
    assert port.node.gateway.table.empty


def test_every_path_is_either_open_or_guarded_on_purpose(port: Port):
    described = set(port.client.get("/openapi.json").json()["paths"])
    assert described == {path for _, path, _ in GUARDED} | {"/healthz", "/readyz", "/metrics"}


def test_the_page_of_the_api_loads_nothing_from_elsewhere(port: Port):
    page = port.client.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    assert all(each.startswith("/") for each in loaded)
    for asset in loaded:
        assert port.client.get(asset).status_code == 200


def test_a_drain_is_taken_back(port: Port):
    assert port.post("/drain") == 202
    assert port.client.get("/readyz").status_code == 503
    assert port.client.get("/readyz").json()["draining"] is True
    assert port.node.gateway.draining
    assert port.post("/undrain") == 202
    assert port.client.get("/readyz").status_code == 200
    assert not port.node.gateway.draining
    assert port.post("/drain") == 202  # and once more
    assert port.client.get("/readyz").status_code == 503


def test_what_is_not_drained_needs_no_undrain(port: Port):
    assert port.post("/undrain") == 202
    assert port.node.state.ready


def test_a_restart_cannot_be_taken_back(port: Port):
    port.node.gateway.requests = 1
    assert port.post("/restart") == 202
    answer = port.client.post("/undrain", headers={"Authorization": "Bearer secret"})
    assert answer.status_code == 409
    assert "a restart is under way" in answer.json()["detail"]
    port.node.gateway.requests = 0
    assert port.node.settle().restarts == 1


def test_a_drain_outlives_its_gateway(port: Port):
    port.post("/drain")
    port.node.gateway.crash()
    port.node.quiet(3)
    assert port.node.gateway.starts == 2
    assert port.node.gateway.draining
    assert not port.node.state.ready
    port.post("/undrain")
    assert port.node.state.ready


def test_stop_ends_the_process_as_a_signal_does(port: Port):
    assert port.post("/stop") == 202
    assert port.stopped.is_set()


def test_ready_means_proved_once_and_served_since(node: Node):
    controls = Controls(engine=node.engine, watch=node.watch, stop=lambda: None)
    client = Client(make_app(controls, None))
    assert client.get("/readyz").status_code == 503
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    assert client.get("/readyz").json() == {
        "ready": True,
        "draining": False,
        "settled": True,
        "generation": 1,
        "error": None,
    }
    node.server.faults.never_loads.add((UA, 2))
    node.desire({UA: ([1, 2], {"stable": 2})})
    node.quiet(3)
    # The next generation is on its way: what is served goes on being served, or every replica would leave at once.
    assert client.get("/readyz").json()["settled"] is False
    assert client.get("/readyz").status_code == 200
    node.server.crash()
    node.engine.step()
    assert client.get("/readyz").status_code == 503


def test_changes_are_asked_for_by_generation_and_name(port: Port):
    node = port.node
    node.put("aa.default", 1)
    node.desire({UA: ([1], {"stable": 1}), "aa.default": ([1], {"stable": 1})})
    node.settle()

    def told(**asked: object) -> list[tuple[str | None, str]]:
        answer = port.client.get("/changes", params=asked, headers={"Authorization": "Bearer secret"})
        return [(change.get("name"), change["what"]) for change in answer.json()]

    second = [(None, "generation taken up"), ("aa.default", "proven"), ("aa.default", "stable moved")]
    assert told(after=1) == second
    assert told(name="aa.default")[-3:] == second
    assert (UA, "proven") not in told(name="aa.default")
    assert told(limit=1) == second[-1:]
    refused = port.client.get("/changes", params={"limit": 10**9}, headers={"Authorization": "Bearer secret"})
    assert refused.status_code == 422
