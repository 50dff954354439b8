"""REST answers, and refuses, as TensorFlow Serving does; and nothing a client sends hurts it."""

import base64
import gzip
import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.model_server.running import RunningServer
from tests.integration.model_server.test_rest_refusals import ECHO

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ANSWERS: dict[str, tuple[str, Any, Any]] = {
    "rows of one input": ("scale:predict", {"instances": [1.0, 2, 0.1]}, {"predictions": [3.0, 6.0, 0.3]}),
    "columns of one input": ("scale:predict", {"inputs": [1.0, 2]}, {"outputs": [3.0, 6.0]}),
    "columns by name": ("scale:predict", {"inputs": {"x": [5]}}, {"outputs": [15.0]}),
    "rows by name": ("scale:predict", {"instances": [{"x": 4}]}, {"predictions": [12.0]}),
    "a version": ("scale/versions/1:predict", {"instances": [1]}, {"predictions": [1.0]}),
    "a label": ("scale/labels/canary:predict", {"instances": [1]}, {"predictions": [2.0]}),
    "several outputs, rows": (
        "scale/versions/2:predict",
        {"signature_name": "both", "instances": [1, 2]},
        {"predictions": [{"negative": -2.0, "y": 2.0}, {"negative": -4.0, "y": 4.0}]},
    ),
    "several outputs, columns": (
        "scale/versions/2:predict",
        {"signature_name": "both", "inputs": [1, 2]},
        {"outputs": {"negative": [-2.0, -4.0], "y": [2.0, 4.0]}},
    ),
    "a scalar in column form": ("odd:predict", {"inputs": [1, 2]}, {"outputs": 3.0}),
    "strings": ("words:predict", {"instances": ["beta", {"b64": "YWxwaGE="}]}, {"predictions": [1, 0]}),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_prediction_has_the_official_form(shared: RunningServer, case: str) -> None:
    """Row form for rows, column form for columns; one unnamed tensor drops its name."""
    path, body, expected = ANSWERS[case]
    answer = shared.post(path, body)
    assert (answer.status, answer.json) == (200, expected)


def test_every_dtype_passes_through_json(shared: RunningServer) -> None:
    """Bytes as b64 where the output's name ends in _bytes, text otherwise; integers stay exact."""
    outputs = shared.post("echo:predict", {"inputs": ECHO}).json["outputs"]
    blob = [{"b64": "AP8="}, {"b64": base64.b64encode(b"plain").decode()}]
    assert outputs == {**{key: value for key, value in ECHO.items() if key != "blob"}, "blob_bytes": blob}
    rows = [{key: value[index] for key, value in ECHO.items()} for index in range(2)]
    predictions = shared.post("echo:predict", {"instances": rows}).json["predictions"]
    assert [row["double"] for row in predictions] == ECHO["double"]
    assert [row["blob_bytes"] for row in predictions] == blob


def test_what_is_not_finite_goes_both_ways(shared: RunningServer) -> None:
    """NaN and Infinity are written as JavaScript names them, as the official server does."""
    answer = shared.http("POST", "/v1/models/scale:predict", '{"instances": [NaN, Infinity, -Infinity, 0.1]}')
    assert answer.status == 200
    assert "NaN" in answer.text
    assert "0.3," not in answer.text.replace(" ", "").replace("0.3]", "")
    nan, positive, negative, finite = json.loads(answer.text)["predictions"]
    assert math.isnan(nan)
    assert (positive, negative, finite) == (math.inf, -math.inf, 0.3)


def test_status_and_metadata_have_the_official_form(shared: RunningServer) -> None:
    """Versions newest first, numbers of versions as strings, each signature with its tensors."""
    answer = shared.get("/scale/versions/2")
    ok = {"error_code": "OK", "error_message": ""}
    assert answer.json == {"model_version_status": [{"version": "2", "state": "AVAILABLE", "status": ok}]}
    assert [each["version"] for each in shared.get("/scale").json["model_version_status"]] == ["3", "2", "1"]
    assert shared.get("/scale/labels/stable").json == shared.get("/scale").json  # it does not look at labels
    metadata = shared.get("/scale/versions/2/metadata").json
    assert metadata["model_spec"] == {"name": "scale", "signature_name": "", "version": "2"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_text_that_is_no_utf8_is_passed_on(shared: RunningServer) -> None:
    """The official server checks nothing there: it is looked up, and not found."""
    answer = shared.http("POST", "/v1/models/words:predict", b'{"instances": ["\xff"]}')
    assert (answer.status, answer.json) == (200, {"predictions": [-1]})


def test_a_body_may_be_gzipped(shared: RunningServer) -> None:
    """As the official server unpacks it."""
    packed = gzip.compress(b'{"inputs": [2]}')
    sent = _post(packed, f"content-length: {len(packed)}", "content-encoding: gzip", "connection: close")
    assert b'"outputs": [\n        6.0\n    ]' in _exchange(shared, sent)


def test_a_path_outside_the_api_is_not_found(shared: RunningServer) -> None:
    """Nothing but /v1/ and the metrics page is served."""
    assert shared.http("GET", "/v2/models/scale").status == 404
    answer = _exchange(shared, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").decode()
    assert answer.endswith(
        "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
    )
    assert shared.http("GET", "/monitoring/prometheus/metrics?x").status == 400


def test_the_metrics_page_has_the_official_names(shared: RunningServer) -> None:
    """Counts by status, latencies as histograms that end in +Inf and agree with their counts."""
    shared.post("scale:predict", {"inputs": [1]})
    shared.post("scale/versions/9:predict", {"inputs": [1]})
    page = shared.http("GET", "/monitoring/prometheus/metrics").text
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert int(samples[':tensorflow:serving:request_count{model_name="scale",status="OK"}']) >= 1
    assert int(samples[':tensorflow:serving:request_count{model_name="scale",status="NOT_FOUND"}']) >= 1
    labels = 'model_name="scale",API="predict",entrypoint="REST"'
    count = samples[f":tensorflow:serving:request_latency_count{{{labels}}}"]
    assert samples[f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}}'] == count
    assert ':tensorflow:serving:runtime_latency_count{model_name="scale",API="Predict",runtime="TF1"}' in samples
    assert any(name.startswith(":tensorflow:cc:saved_model:load_attempt_count{") for name in samples)
    assert any(name.startswith(":tensorflow:serving:model_warmup_latency_count{") for name in samples)


def _exchange(shared: RunningServer, sent: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    with socket.create_connection(("127.0.0.1", shared.rest_port), timeout=60) as client:
        client.sendall(sent)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received


def _post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /v1/models/scale:predict HTTP/1.1", "host: x", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


BODY = b'{"instances": [2]}'
LENGTH = f"content-length: {len(BODY)}"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (_post(BODY, LENGTH, "connection: close"), 1),
        (_post(BODY, LENGTH) + _post(BODY, LENGTH, "connection: close"), 2),
        (
            _post(
                b"9\r\n" + BODY[:9] + b"\r\n9\r\n" + BODY[9:] + b"\r\n0\r\n\r\n",
                "transfer-encoding: chunked",
                "connection: close",
            ),
            1,
        ),
        (_post(BODY, LENGTH, "expect: 100-continue", "connection: close"), 1),
    ],
    ids=["closed", "two in one packet", "chunked", "expecting 100"],
)
def test_http_is_spoken_as_clients_speak_it(shared: RunningServer, sent: bytes, answers: int) -> None:
    """Pipelined, chunked, with 100-continue, and closed when asked."""
    received = _exchange(shared, sent)
    assert received.count(b"HTTP/1.1 200 OK") == answers
    assert received.count(b'{\n    "predictions": [6.0\n    ]\n}') == answers
    assert (b"100 Continue" in received) == (b"100-continue" in sent)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b" 400 "),
        (_post(b"", f"x-long: {'a' * 100_000}"), b" 431 "),
        (_post(b"", f"content-length: {10**12}"), b""),
        (_post(b"", "content-length: 1000") + b"x" * 10, b""),
    ],
    ids=["no HTTP at all", "an endless header", "an endless body", "a body that never comes"],
)
def test_what_is_no_request_closes_one_connection_only(shared: RunningServer, sent: bytes, status: bytes) -> None:
    """The others are served meanwhile and afterwards."""
    with socket.create_connection(("127.0.0.1", shared.rest_port), timeout=60) as client:
        client.sendall(sent)
        if status:
            assert status in client.recv(65536).split(b"\r\n")[0]
        assert shared.post("scale:predict", {"inputs": [1]}).status == 200


def test_a_big_body_is_read_and_answered(shared: RunningServer) -> None:
    """Some megabytes of JSON: right, and without holding the others up for long."""
    values = [float(each % 1000) for each in range(300_000)]
    with ThreadPoolExecutor(4) as pool:
        big = pool.submit(shared.post, "scale/versions/2:predict", {"inputs": values})
        small = [pool.submit(shared.post, "scale:predict", {"inputs": [1]}) for _ in range(20)]
        assert all(each.result(timeout=100).json == {"outputs": [3.0]} for each in small)
        assert big.result(timeout=100).json["outputs"] == [2 * each for each in values]


def test_many_clients_at_once_get_each_their_own_answer(shared: RunningServer) -> None:
    """No answer goes astray between threads."""

    def ask(number: int) -> bool:
        return bool(shared.post("scale:predict", {"inputs": [number]}).json == {"outputs": [3.0 * number]})

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(300)))
