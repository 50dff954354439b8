"""What stands on the wire beyond an answer: pages, methods, addresses, what is counted, and messages cut or not UTF-8."""

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest

from roost.adapters import tf_messages as messages
from tests.integration.model_server.running import FAST, RunningServer, config, predict_request, starting

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


@pytest.fixture(scope="module")
def server(
    program: Sequence[str], saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that counts."""
    monitoring = tmp_path_factory.mktemp("monitoring") / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    models = {name: saved_models / name for name in ("scale", "echo", "census")}
    with starting(program) as begin:
        yield begin(*FAST, f"--monitoring_config_file={monitoring}", models=config(models))


def exchange(port: int, sent: bytes, host: str = "127.0.0.1") -> tuple[bytes, bytes]:
    """Send bytes by REST and return the first line of the answer and its body, read until the server closes."""
    with socket.create_connection((host, port), timeout=60) as client:
        client.sendall(sent)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


def page(status: int, phrase: str) -> str:
    """What libevent writes."""
    return f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n<H1>{phrase}</H1>\n</BODY></HTML>\n"


#: Request line, status, and the whole body.
LINES: dict[str, tuple[str, int, str]] = {
    "a version that no number holds": (f"GET /v1/models/scale/versions/{'9' * 30}", 400, ""),
    "the head of a status": ("HEAD /v1/models/scale", 400, ""),
    "a method that is not offered": ("TRACE /v1/models/scale", 501, page(501, "Not Implemented")),
    "a method that nobody has": ("FOO /v1/models/scale", 501, page(501, "Not Implemented")),
    "an address that is none": ("GET /v1/models/{scale}", 400, page(400, "Bad Request")),
    "a broken escape": ("GET /v1/models/scal%6", 400, page(400, "Bad Request")),
    "a path outside the API": ("PATCH /v1", 404, page(404, "Not Found")),
    "a method without a meaning": (
        "PATCH /v1/models/scale",
        400,
        '{\n    "error": "Malformed request: PATCH /v1/models/scale"\n}',
    ),
    "a preflight that nobody asked to answer": (
        "OPTIONS /v1/models/scale",
        400,
        '{\n    "error": "Malformed request: OPTIONS /v1/models/scale"\n}',
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_a_request_line_is_answered_to_the_letter(server: RunningServer, case: str) -> None:
    """Status and body."""
    line, status, expected = LINES[case]
    first, body = exchange(server.rest_port, f"{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert (int(first.split()[1]), body.decode()) == (status, expected)


def test_capitals_in_what_follows_the_model_ask_for_its_status(server: RunningServer) -> None:
    """The pattern of a path takes them, and then it is not what metadata is called."""
    assert server.get("/scale/METADATA").json == server.get("/scale").json


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")
def test_rest_listens_on_both_kinds_of_addresses(server: RunningServer) -> None:
    """Regression: a client that takes `localhost` for `::1` was refused."""
    try:
        first, _ = exchange(server.rest_port, b"GET /v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "::1")
    except OSError as error:
        if not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text():
            pytest.skip("no interface has an IPv6 address")
        raise AssertionError("nobody listens on ::1") from error
    assert b" 404 " in first


def counts(server: RunningServer) -> dict[str, float]:
    """The samples that requests change."""
    text = server.http("GET", "/monitoring/prometheus/metrics").text
    found = re.findall(r"^:tensorflow:serving:(request_(?:count|latency_count)\{.*\}) (\d+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_rest_requests_that_are_no_predictions_are_counted_too(server: RunningServer) -> None:
    """Status and metadata under no API, what is malformed under no model."""
    before = counts(server)
    server.get("/scale")
    server.get("/scale/metadata")
    server.get("/scale/versions/9")
    server.post("scale:explain", {})
    after = counts(server)
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)} == {
        'request_count{model_name="scale",status="OK"}': 2,
        'request_count{model_name="scale",status="NOT_FOUND"}': 1,
        'request_count{model_name="",status="INVALID_ARGUMENT"}': 1,
        'request_latency_count{model_name="scale",API="",entrypoint="REST"}': 2,
    }


def refused(server: RunningServer, model: str, **inputs: np.ndarray) -> tuple[grpc.StatusCode, str]:
    """How a prediction ends."""
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.Predict(predict_request(model, inputs), timeout=100)
    return error.value.code(), error.value.details()


ECHO = {
    "double": np.array([[1.5, 2.5]]),
    "int32": np.array([1], np.int32),
    "int64": np.array([1], np.int64),
    "uint8": np.array([1], np.uint8),
    "flag": np.array([True]),
    "text": np.array(["a"], np.object_),
    "blob": np.array([b"\xff"], np.object_),
}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"uint8": np.array([1], np.int64)}, "Expects arg[6] to be uint8 but int64 is provided"),
        ({"blob": np.array([1.0], np.float32)}, "Expects arg[0] to be string but float is provided"),
        (
            {"int64": np.array([1], np.int32), "flag": np.array([1.0])},
            "Expects arg[2] to be bool but double is provided",
        ),
    ],
    ids=["the last", "the first", "two of them"],
)
def test_a_tensor_of_another_dtype_is_refused_in_the_official_words(
    server: RunningServer, wrong: dict[str, np.ndarray], said: str
) -> None:
    """Inputs are counted in the order of their tensors' names. Regression: it was said of a node, by an inner name."""
    assert refused(server, "echo", **(ECHO | wrong)) == (grpc.StatusCode.INVALID_ARGUMENT, said)


def test_a_string_without_dimensions_is_an_answer_too(server: RunningServer) -> None:
    """Regression: it failed."""
    scalars = {
        name: value.reshape(-1)[0].reshape(()) if value.dtype != object else value for name, value in ECHO.items()
    }
    scalars |= {name: np.array(ECHO[name][0], np.object_) for name in ("text", "blob")}
    answer = server.predictions.Predict(predict_request("echo", scalars), timeout=100).outputs["text"]
    assert (list(answer.string_val), list(answer.tensor_shape.dim)) == ([b"a"], [])


def test_a_long_message_is_cut_and_says_so(server: RunningServer) -> None:
    """At 1,024 bytes, by gRPC; REST tells all of it."""
    name = "n" * 2000
    whole = f"Servable not found for request: Latest({name})"
    assert refused(server, name) == (grpc.StatusCode.NOT_FOUND, whole[:1024] + "...TRUNCATED")
    assert server.post(f"{name}:predict", {"inputs": [1]}).json == {"error": whole}


def test_a_message_that_quotes_bytes_is_passed_on(server: RunningServer) -> None:
    """An example that is none. Regression: the request ended as a bug of the server."""
    request = predict_request("census", {"examples": np.array([b"\xff\xff"], np.object_)}, signature="predict")
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.Predict(request, timeout=100)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("Could not parse example input, value: '")
    body = b'{"signature_name": "predict", "inputs": {"examples": [{"b64": "//8="}]}}'
    head = f"POST /v1/models/census:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    first, told = exchange(server.rest_port, head.encode() + body)
    assert b" 400 " in first
    assert b"Could not parse example input, value: '\xff\xff'" in told


def test_metadata_is_refused_with_the_placeholder_that_the_official_text_still_has(server: RunningServer) -> None:
    """To the letter."""
    request = messages.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["assets"])
    request.model_spec.name = "scale"
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.GetModelMetadata(request, timeout=100)
    assert error.value.details() == "Metadata field %s is not supportedassets"
