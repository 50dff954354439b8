"""Limits of the gateway itself: beyond them it turns people away, in the form of their API, and goes on for others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.render import render
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.running import Running, configured, running, started
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

        def full_with_one_more() -> bool:
            # One more each time: a connection that is just ending may still count, and turn one of these away.
            idle.enter_context(socket.create_connection((host, int(port)), timeout=10))
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
    with _slow_model_server(tmp_path / "model.sock", go_on) as rest, ThreadPoolExecutor(2) as pool:
        config = configured(tmp_path, socket=tmp_path / "model.sock", rest=rest)
        with started(config, render(config).replace('"max_requests": 4096', '"max_requests": 1')) as it:
            under_way = [pool.submit(asked, it), pool.submit(code_of, it)]
            _await(lambda: it.admin.in_flight() == 2)

            refused = it.client.post(PATH, json={})
            assert (refused.status_code, set(refused.json())) == (503, {"error"})
            assert code_of(it) == "UNAVAILABLE"

            go_on.set()
            assert [each.result(10) for each in under_way] == [200, "OK"]
            assert (asked(it), code_of(it)) == (200, "OK")


@contextmanager
def _slow_model_server(socket_path: Path, go_on: threading.Event) -> Iterator[str]:
    """Answers nobody before it may go on. Its REST address."""

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            go_on.wait(10)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class SlowCalls(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, _: go_on.wait(10) and request)

    calls = grpc.server(ThreadPoolExecutor(2))
    calls.add_generic_rpc_handlers([SlowCalls()])
    calls.add_insecure_port(f"unix:{socket_path}")
    calls.start()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as rest:
        thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{rest.server_port}"
        finally:
            go_on.set()
            rest.shutdown()
            thread.join(5)
            calls.stop(1).wait(5)


def _await(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
