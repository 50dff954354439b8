"""Limits of the gateway itself: beyond them it turns people away, in the form of their API, and goes on for others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.render import render
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.running import Running, configured, running, started
from tests.integration.gateway.stand_in import StandIn, slow_stand_in

pytestmark = pytest.mark.integration

REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()


def asked(gateway: Running) -> int | None:
    """The status by REST on a connection of its own; None where there is none to be had."""
    try:
        return httpx.post(f"http://{gateway.config.rest}{PATH}", json={}, timeout=60).status_code
    except httpx.TransportError:
        return None


def code_of(gateway: Running) -> str:
    try:
        gateway.call(PREDICT, REQUEST)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_connections_beyond_the_limit_are_turned_away_until_one_ends(model_server: StandIn, tmp_path: Path):
    settings = GatewaySettings(max_connections=3)
    with (
        running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it,
        ExitStack() as idle,
    ):
        host, port = it.config.rest.split(":")

        def full_with_one_more() -> bool:
            # One more each time: a connection that is just ending may still count, and turn one of these away.
            idle.enter_context(socket.create_connection((host, int(port)), timeout=60))
            return asked(it) is None

        assert asked(it) == 200
        _await(full_with_one_more)

        idle.close()

        _await(lambda: asked(it) == 200)


def test_a_gateway_without_memory_refuses_requests_and_does_not_die(model_server: StandIn, tmp_path: Path):
    """The limit is set below what Envoy needs to start; it stays up and says so to each API."""
    settings = GatewaySettings(max_memory_mb=1)
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        _await(lambda: asked(it) == 503)

        answer = it.client.post(PATH, json={})
        assert (answer.status_code, set(answer.json())) == (503, {"error"})
        assert code_of(it) == "UNAVAILABLE"
        assert it.process.poll() is None


def test_requests_beyond_what_may_be_under_way_are_refused_at_once_and_the_others_are_answered(tmp_path: Path):
    """The limit of requests under way, set to one here; the model server takes its time."""
    go_on = threading.Event()
    with slow_stand_in(tmp_path / "model.sock", go_on) as rest, ThreadPoolExecutor(2) as pool:
        config = configured(tmp_path, socket=tmp_path / "model.sock", rest=rest)
        with started(config, render(config).replace('"max_requests": 4096', '"max_requests": 1')) as it:
            under_way = [pool.submit(asked, it), pool.submit(code_of, it)]
            _await(lambda: it.admin.in_flight() == 2)

            refused = it.client.post(PATH, json={})
            assert (refused.status_code, set(refused.json())) == (503, {"error"})
            assert code_of(it) == "UNAVAILABLE"

            go_on.set()
            assert [each.result(60) for each in under_way] == [200, "OK"]
            _await(lambda: (asked(it), code_of(it)) == (200, "OK"))


def _await(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
