"""Limits of the gateway itself: beyond them it turns people away, in the form of their API, and goes on for others."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()


def asked(gateway: Running) -> int | None:
    """The status by REST on a connection of its own; None where there is none to be had."""
    try:
        return httpx.post(f"http://{gateway.config.rest}{PATH}", json={}, timeout=10).status_code
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
        assert asked(it) == 200
        for _ in range(3):
            idle.enter_context(socket.create_connection((host, int(port)), timeout=10))
        _await(lambda: asked(it) is None)

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


def _await(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
