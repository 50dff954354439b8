"""What passes through the gateway as it is: deadlines, metadata both ways, errors with their details, answers in pieces."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from roost.adapters.tf_messages import predict_pb2
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.running import Running, configured, running
from tests.parts import free_port

pytestmark = pytest.mark.integration

MISSING = 'Serving signature key "missing" not found.'
DETAILS = b"\x08\x09\x12\x03why"


class Told(grpc.GenericRpcHandler):
    """A model server that says much, and remembers what it was told."""

    def __init__(self) -> None:
        self.remaining: float | None = None
        self.metadata: dict[str, str | bytes] = {}
        self.cancelled = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.metadata = dict(details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.remaining = context.time_remaining()
        context.send_initial_metadata((("x-model-host", "node-1"),))
        context.set_trailing_metadata((("x-cost", "3"), ("grpc-status-details-bin", DETAILS)))
        signature = predict_pb2.PredictRequest.FromString(request).model_spec.signature_name
        if signature == "missing":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, MISSING)
        if signature == "slow":
            ended = threading.Event()
            context.add_callback(ended.set)
            if ended.wait(120):
                self.cancelled.set()
        return request


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Told]]:
    directory = tmp_path_factory.mktemp("told")
    handler, server = Told(), grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix:{directory / 'model.sock'}")
    server.start()
    try:
        with running(configured(directory, socket=directory / "model.sock", rest=f"127.0.0.1:{free_port()}")) as it:
            yield it, handler
    finally:
        server.stop(None).wait()


def ask(gateway: Running, signature: str = "", **rest: object) -> tuple[bytes, grpc.Call]:
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default", "signature_name": signature})
    options = {"timeout": 60.0, **rest}
    return gateway.channel.unary_unary(PREDICT).with_call(request.SerializeToString(), **options)


def test_a_deadline_reaches_the_model_server_and_its_end_cancels_the_call_there(told: tuple[Running, Told]):
    gateway, server = told
    ask(gateway, timeout=20.0)
    assert server.remaining is not None
    # gRPC rounds a deadline up on its way; the route's own limit is 30 s.
    assert 0 < server.remaining < 22
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            ask(gateway, "slow", timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # One that a busy machine does not bring to the model server in time is not under way there.
        if server.cancelled.wait(3):
            break
    assert server.cancelled.is_set(), "the model server goes on for nobody"


def test_metadata_passes_both_ways(told: tuple[Running, Told]):
    gateway, server = told
    _, call = ask(gateway, metadata=[("x-caller", "app-7"), ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")])
    assert server.metadata["x-caller"] == "app-7"
    assert server.metadata["traceparent"] == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert dict(call.initial_metadata())["x-model-host"] == "node-1"
    assert dict(call.trailing_metadata())["x-cost"] == "3"


def test_an_error_of_the_model_server_arrives_with_its_code_its_words_and_its_trailers(told: tuple[Running, Told]):
    gateway, _ = told
    with pytest.raises(grpc.RpcError) as caught:
        ask(gateway, "missing")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == MISSING
    trailers = dict(caught.value.trailing_metadata())
    assert trailers["x-cost"] == "3"
    assert trailers["grpc-status-details-bin"] == DETAILS


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Hands each connection to `answer` once a request was read from it; then closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(60)
                    while b"\r\n\r\n" not in connection.recv(65536):
                        continue
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        # A thread in accept() keeps the port until somebody comes.
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def test_an_answer_in_pieces_arrives_in_pieces(tmp_path: Path):
    seen = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        seen.wait(60)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")

    with raw_server(answer) as rest, running(configured(tmp_path, socket=tmp_path / "none", rest=rest)) as gateway:
        client = http.client.HTTPConnection(gateway.config.rest, timeout=60)
        client.request("POST", PATH, b"{}")
        response = client.getresponse()
        assert response.read1(100) == b"first"
        seen.set()
        assert response.read() == b"last"
        client.close()


def test_a_request_that_breaks_off_on_its_way_is_asked_once_and_told_so_in_the_right_form(tmp_path: Path):
    """It may be what ended the model server: nobody asks it again here."""
    asked: list[int] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.fileno())

    with raw_server(answer) as rest, running(configured(tmp_path, socket=tmp_path / "none", rest=rest)) as gateway:
        refused = gateway.client.post(PATH, json={})
    assert refused.status_code == 503
    assert set(refused.json()) == {"error"}
    assert len(asked) == 1
