"""The ways in, beyond a request that is as it should be: TLS, CORS, time-outs, garbage, slow and half-closed clients."""

import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from roost.adapters import tf_messages as messages
from tests.integration.model_server.certificates import Authority, Pair
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import (
    DROP_IN,
    FAST,
    RunningServer,
    config,
    eventually,
    free_port,
    predict_request,
    starting,
)

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

BODY = b'{"instances": [1]}'


def ssl_config(own: Pair, authority: Authority, *, verify: bool) -> str:
    """An SSLConfig's text; PEM has line breaks, which text format escapes."""
    fields = {"server_key": own.key, "server_cert": own.certificate, "custom_ca": authority.certificate}
    lines = [f"{name}: {json.dumps(value.decode())}" for name, value in fields.items()]
    return "\n".join([*lines, f"client_verify: {str(verify).lower()}"])


def answers(channel: grpc.Channel) -> list[float]:
    """What `scale` makes of 1."""
    stub = messages.prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_request("scale", {"x": np.array([1.0], np.float32)})
    return list(stub.Predict(request, timeout=60).outputs["y"].float_val)


@pytest.mark.parametrize("verify", [False, True], ids=["server only", "clients too"])
def test_tls_by_an_ssl_config_file(start: Start, saved_models: Path, tmp_path: Path, verify: bool) -> None:
    """Port and socket alike; with `client_verify` only clients of the CA get in."""
    authority, stranger = Authority(), Authority()
    own, friend, foe = authority.issue("localhost"), authority.issue("friend"), stranger.issue("foe")
    (tmp_path / "ssl.config").write_text(ssl_config(own, authority, verify=verify))
    port = free_port()
    server = start(
        *FAST,
        f"--port={port}",
        f"--ssl_config_file={tmp_path}/ssl.config",
        models=config({"scale": saved_models / "scale"}),
        ready=False,
    )
    eventually(lambda: server.open() or server.process.poll() is not None, "ports open")
    trusting = grpc.ssl_channel_credentials(authority.certificate)
    known = grpc.ssl_channel_credentials(authority.certificate, friend.key, friend.certificate)
    foreign = grpc.ssl_channel_credentials(authority.certificate, foe.key, foe.certificate)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_http_proxy", 0)]
    for address in (f"127.0.0.1:{port}", f"unix:{server.socket_path}"):
        with grpc.secure_channel(address, known, options) as channel:
            assert answers(channel) == [3.0]
    for credentials in (trusting, foreign):
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            if not verify:
                assert answers(channel) == [3.0]
                continue
            with pytest.raises(grpc.RpcError) as error:
                answers(channel)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
        answers(channel)
    # REST has no TLS, as officially.
    assert server.post("scale:predict", {"instances": [1]}).json == {"predictions": [3.0]}


def test_an_ssl_config_that_cannot_be_used_ends_the_start(start: Start, tmp_path: Path) -> None:
    """With its reason."""
    (tmp_path / "ssl.config").write_text('server_key: "no PEM" server_cert: "no PEM"')
    server = start(f"--ssl_config_file={tmp_path}/ssl.config", models="model_config_list {}", ready=False)
    assert server.process.wait(timeout=60) == 255
    assert "Failed to BuildAndStart gRPC server" in server.log.read_text()


@pytest.fixture(scope="module")
def server(saved_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One that answers pages of other origins, gives REST requests four seconds, and counts."""
    monitoring = tmp_path_factory.mktemp("monitoring") / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    with starting(DROP_IN) as begin:
        yield begin(
            *FAST,
            "--rest_api_enable_cors_support",
            "--rest_api_timeout_in_ms=4000",
            f"--monitoring_config_file={monitoring}",
            f"--port={free_port()}",
            models=config({"scale": saved_models / "scale", "slow": saved_models / "slow"}),
        )


def exchange(server: RunningServer, sent: bytes) -> bytes:
    """Send bytes by REST and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as client:
        client.sendall(sent)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received


def test_pages_of_any_origin_may_read_the_answers_where_it_is_asked(server: RunningServer) -> None:
    """A preflight is answered; answers and refusals carry the headers."""
    for request in (
        b"OPTIONS /v1/models/scale:predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST /v1/models/scale:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 18\r\nconnection: close\r\n\r\n" + BODY,
        b"GET /v1/models/nobody HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ):
        head = exchange(server, request).lower().partition(b"\r\n\r\n")[0]
        for header in (b"origin: *", b"methods: post, get", b"headers: content-type"):
            assert b"access-control-allow-" + header in head
    assert b" 404 " in head


#: Turns of a loop that take some 20 s of a core.
TURNS = 3_000_000.0


def ended_late(server: RunningServer) -> int:
    """How many runs of the slow model have ended because nobody waited for them any more."""
    page = server.http("GET", "/monitoring/prometheus/metrics").text
    counted = ':tensorflow:serving:request_count{model_name="slow",status="DEADLINE_EXCEEDED"} '
    return sum(int(line.removeprefix(counted)) for line in page.splitlines() if line.startswith(counted))


def test_a_rest_request_that_takes_too_long_is_answered_and_its_run_is_ended(server: RunningServer) -> None:
    """`--rest_api_timeout_in_ms`. Regression: the run went on to its end, on a core that others wait for."""
    before = ended_late(server)
    answer = server.post("slow:predict", {"instances": [TURNS]})
    assert (answer.status, answer.json) == (504, {"error": "Timed out waiting for notification"})
    eventually(lambda: ended_late(server) == before + 1, "its run has ended, and not well", 100)
    assert server.post("scale:predict", {"instances": [1]}).json == {"predictions": [3.0]}


def test_a_run_that_no_grpc_client_waits_for_any_more_is_ended(server: RunningServer) -> None:
    """By the client's own deadline."""
    before = ended_late(server)
    with pytest.raises(grpc.RpcError) as late:
        server.predictions.Predict(predict_request("slow", {"x": np.float32([TURNS])}), timeout=2)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: ended_late(server) == before + 1, "its run has ended, and not well", 100)


GARBAGE = {
    "noise": bytes(range(256)) * 8,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "HTTP/1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a preface and then noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_on_the_grpc_port_closes_one_connection_only(server: RunningServer, kind: str) -> None:
    """The next request is answered."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(server.socket_path))
        client.sendall(GARBAGE[kind])
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert server.scale() == 3


def test_slow_and_half_closed_clients_keep_nobody_from_being_answered(server: RunningServer) -> None:
    """Two hundred that send half a request and wait; one that sends a whole one and no more."""
    head = b"POST /v1/models/scale:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 18\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) for _ in range(200)]
    try:
        for number, client in enumerate(slow):
            client.sendall(head[: 5 + number % 60])
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(server.post, "scale:predict", {"instances": [1]}) for _ in range(40)]
            assert all(each.result(timeout=100).json == {"predictions": [3.0]} for each in asked)
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as client:
            client.sendall(head + BODY)
            client.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        assert json.loads(received.partition(b"\r\n\r\n")[2]) == {"predictions": [3.0]}
    finally:
        for client in slow:
            client.close()


def test_a_tls_client_of_the_rest_port_is_refused(server: RunningServer) -> None:
    """There is no TLS for REST."""
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as client,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(client, server_hostname="localhost")
