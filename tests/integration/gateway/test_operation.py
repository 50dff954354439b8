"""What on-call engineers and nodes rely on: networks, drains, and a model server that is away."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.contracts.errors import NodeUnavailable, SettingsInvalid
from roost.settings import GatewaySettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.render import bootstrap, render
from tests.integration.gateway.running import Running, configured, running, started
from tests.integration.gateway.stand_in import StandIn, grpc_echo, rest_echo, slow_stand_in
from tests.parts import free_port

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATH = "/v1/models/ua.default:predict"
REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()


def code_of(gateway: Running, method: str = PREDICT) -> str:
    try:
        gateway.call(method, REQUEST)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_who_connects_from_elsewhere_is_refused_whatever_its_headers_say(model_server: StandIn, tmp_path: Path):
    settings = GatewaySettings(allow_cidrs=("10.0.0.0/8", "fd00::/8"))
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        answer = it.client.post(PATH, json={}, headers={"x-forwarded-for": "10.1.2.3"})

        assert (answer.status_code, set(answer.json())) == (403, {"error"})
        assert it.client.get("/healthz").status_code == 403
        assert code_of(it) == "PERMISSION_DENIED"


def test_a_drain_tells_load_balancers_and_clients_and_fails_no_request(model_server: StandIn, tmp_path: Path):
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest)) as it:
        assert it.client.get("/healthz").json() == {"status": "ok"}
        assert it.admin.ready()

        it.admin.drain()

        told = it.client.get("/healthz")
        assert (told.status_code, told.json()) == (503, {"status": "draining"})
        assert not it.admin.ready()
        answer = it.client.post(PATH, json={})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert code_of(it) == "OK"

        it.admin.undrain()

        assert it.admin.ready()
        assert "connection" not in it.client.post(PATH, json={}).headers


def test_once_it_stops_listening_nobody_new_comes_in(model_server: StandIn, tmp_path: Path):
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest)) as it:
        it.admin.stop_listening()

        until = time.monotonic() + 60
        while _connects(it) and time.monotonic() < until:
            time.sleep(0.02)

        assert not _connects(it)
        _await(lambda: it.admin.in_flight() == 0)


def _connects(gateway: Running) -> bool:
    try:
        return httpx.get(f"http://{gateway.config.rest}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_requests_under_way_are_counted(tmp_path: Path):
    go_on, socket = threading.Event(), tmp_path / "model.sock"
    with (
        slow_stand_in(socket, go_on) as rest,
        running(configured(tmp_path, socket=socket, rest=rest)) as it,
        ThreadPoolExecutor(4) as pool,
    ):
        calls = [pool.submit(code_of, it) for _ in range(3)] + [pool.submit(it.client.post, PATH, json={})]
        _await(lambda: it.admin.in_flight() == 4)
        go_on.set()
        for call in calls:
            call.result(60)
        _await(lambda: it.admin.in_flight() == 0)


def test_without_a_model_server_each_api_says_unavailable_in_its_own_form(tmp_path: Path):
    with running(configured(tmp_path, socket=tmp_path / "none.sock", rest=f"127.0.0.1:{free_port()}")) as it:
        answer = it.client.post(PATH, json={})

        assert (answer.status_code, set(answer.json())) == (503, {"error"})
        assert code_of(it) == "UNAVAILABLE"


def test_a_model_server_that_is_replaced_costs_no_request(tmp_path: Path):
    """As when a node replaces its child: the socket and the port are gone for a moment, and then there again."""
    port, socket = free_port(), tmp_path / "model.sock"
    stop = threading.Event()
    config = configured(tmp_path, socket=socket, rest=f"127.0.0.1:{port}")
    # A gateway asks again for some two seconds. How long this machine takes for the other model server is its own affair.
    patient = render(config).replace('"num_retries": 6', '"num_retries": 60')
    with started(config, patient) as it, ThreadPoolExecutor(2) as pool:

        def ask(one: Callable[[], object]) -> list[object]:
            outcomes = []
            while not stop.is_set():
                outcomes.append(one())
            return outcomes

        try:
            with grpc_echo(socket), rest_echo(port):
                asking = [
                    pool.submit(ask, lambda: code_of(it)),
                    pool.submit(ask, lambda: it.client.post(PATH, json={}).status_code),
                ]
                _await(lambda: min(_counted(it, "upstream_rq_completed")) > 20)
            _await(lambda: min(_counted(it, "upstream_rq_retry")) > 0)
            before = _counted(it, "upstream_rq_completed")
            with grpc_echo(socket), rest_echo(port):
                _await(lambda: all(_grown(before, _counted(it, "upstream_rq_completed"), by=20)))
                stop.set()
                calls, requests = (each.result(60) for each in asking)
        finally:
            stop.set()

    assert set(calls) == {"OK"}
    assert set(requests) == {200}


def _counted(gateway: Running, statistic: str) -> tuple[int, ...]:
    """The statistic of both clusters."""
    lines = gateway.admin.stats().splitlines()
    found = [line for line in lines if line.startswith(f"envoy_cluster_{statistic}{{")]
    return tuple(int(line.rsplit(" ", 1)[1]) for line in found if "model_" in line)


def _grown(before: tuple[int, ...], now: tuple[int, ...], *, by: int) -> list[bool]:
    return [later > earlier + by for earlier, later in zip(before, now, strict=True)]


def _await(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.01)


def test_a_port_that_is_taken_ends_the_second_gateway_which_says_so(open_gateway: Running, tmp_path: Path):
    config = configured(tmp_path, socket=tmp_path / "none.sock", rest="127.0.0.1:1")
    file = tmp_path / "envoy.json"
    file.write_text(render(replace(config, rest=open_gateway.config.rest)))

    ended = subprocess.run(
        binary.command(binary.find_envoy("auto"), file), capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert f"cannot bind '{open_gateway.config.rest}': Address already in use" in ended.stderr


def test_a_script_that_fails_closes_the_gateway_instead_of_opening_it(model_server: StandIn, tmp_path: Path):
    """Envoy's own answer to a failing script is to let the request pass, unlabelled and unchecked."""
    config = configured(tmp_path, socket=model_server.socket, rest=model_server.rest)
    sound = render(config)
    broken = sound.replace("local function on_grpc(handle, limits)", "local function on_grpc() error('broken')")
    assert broken != sound

    with started(config, broken) as it:
        assert code_of(it) == "UNKNOWN"


def test_a_slow_model_server_is_a_deadline_exceeded(tmp_path: Path):
    """The time limit of a route, set short here; everything else as rendered."""
    socket = tmp_path / "model.sock"
    config = configured(tmp_path, socket=socket, rest=f"127.0.0.1:{free_port()}")
    hasty = json.dumps(bootstrap(config)).replace('"timeout": "30s"', '"timeout": "0.2s"')
    with started(config, hasty) as it:
        assert it.client.post(PATH, json={}).status_code == 504
        assert code_of(it) == "DEADLINE_EXCEEDED"


def test_the_admin_interface_has_no_port_and_says_when_it_is_away(tmp_path: Path):
    admin = GatewayAdmin(tmp_path / "admin.sock")

    assert not admin.ready()
    with pytest.raises(NodeUnavailable, match="no gateway listens"):
        admin.drain()


def test_a_configuration_that_envoy_refuses_is_named_with_its_words(tmp_path: Path):
    file = tmp_path / "envoy.json"
    file.write_text('{"static_resources": {"listenerz": []}}')

    with pytest.raises(SettingsInvalid, match="no such field: 'listenerz'"):
        binary.validate(file)


@pytest.mark.parametrize("settings", [{}, {"jwks_url": "https://keys.example.com/jwks"}, {"max_body_mb": 64}])
def test_envoy_accepts_what_is_rendered(tmp_path: Path, settings: dict[str, str]):
    config = configured(
        tmp_path, socket=tmp_path / "s", rest="127.0.0.1:1", settings=GatewaySettings.model_validate(settings)
    )
    file = tmp_path / "envoy.json"
    file.write_text(render(config))

    binary.validate(file)
