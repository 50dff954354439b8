"""Whatever a client sends, it gets the error of the API that it speaks, and the next request works.

Behind the gateway stands the model server itself: what is wrong with a prediction, it says, and the gateway passes on.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import numpy as np
import pytest

from roost.adapters.tf_messages import predict_pb2, tensor_from_array
from roost.settings import GatewaySettings
from serving.gateway.render import render
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import PREDICT, a_token
from tests.integration.gateway.http2 import http2
from tests.integration.gateway.running import Running, configured, started
from tests.integration.model_server.running import DROP_IN, RunningServer, config, starting

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

NAME = "ua.default"
#: Takes rows of two numbers; the other one takes whatever shape it is given.
PAIR = "ua.pair"
FINE, FINE_JSON = np.array([3.0], np.float32), '{"instances": [3.0]}'
#: Seconds that a client of the impatient gateway may take for its headers, and for its whole request; 10 and 30 in
#: earnest. Not the same: on a busy machine both would be over at one look of Envoy's, which names the one that it likes.
HEADERS_SECONDS, REQUEST_SECONDS = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model server behind its gateway, and what opens it."""

    gateway: Running
    key: SigningKey

    def rest(self, content: str | bytes, *, path: str = "", token: str | None = None) -> tuple[int, str]:
        """The status and TensorFlow Serving's error; the predictions where there is none."""
        headers = {"authorization": f"Bearer {token or a_token(self.key, customers=('ua',))}"}
        url = path or f"/v1/models/{NAME}:predict"
        answer = self.gateway.client.post(url, content=content, headers=headers)
        return answer.status_code, str(answer.json().get("error", answer.text))

    def grpc(self, array: np.ndarray[Any, Any], *, input_name: str = "x", token: str | None = None, **spec: Any) -> str:
        """``OK``, or the code and the words."""
        request = predict_pb2.PredictRequest(model_spec={"name": NAME} | spec)
        request.inputs[input_name].CopyFrom(tensor_from_array(array))
        try:
            self.gateway.call(PREDICT, request.SerializeToString(), token=token or a_token(self.key, customers=("ua",)))
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return "OK"

    def raw(self, door: str, content: bytes, seconds: float = 60) -> bytes:
        """What comes back for these bytes until the gateway closes the connection, which it must within `seconds`."""
        address = self.gateway.config.rest if door == "rest" else self.gateway.config.grpc
        host, port = address.split(":")
        answer = b""
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            connection.sendall(content)
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
        return answer

    def works(self) -> bool:
        """Whether an ordinary request is answered, by both APIs."""
        status, text = self.rest(FINE_JSON)
        return (status, json.loads(text)) == (200, {"predictions": [3.0]}) and self.grpc(FINE) == "OK"


@pytest.fixture(scope="module")
def model_server(tiny_model_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("bad")
    for name, kind in ((NAME, "one"), (PAIR, "pair")):
        shutil.copytree(tiny_model_files / kind, directory / name / "1")
    labels = 'version_labels { key: "stable" value: 1 }'
    with starting(DROP_IN) as start:
        yield start(
            "--allow_version_labels_for_unavailable_models",
            models=config({name: directory / name for name in (NAME, PAIR)}, **{NAME: labels, PAIR: labels}),
        )


@contextmanager
def behind_a_gateway(server: RunningServer, directory: Path, *limits: tuple[str, str]) -> Iterator[Served]:
    """The model server behind a gateway with these texts of its configuration changed."""
    signing_key = SigningKey.create()
    (directory / "jwks.json").write_text(key_set([signing_key]))
    gateway = configured(
        directory,
        socket=server.socket_path,
        rest=f"127.0.0.1:{server.rest_port}",
        settings=GatewaySettings(jwks_file=directory / "jwks.json"),
    )
    rendered = render(gateway)
    for limit, here in limits:
        assert rendered.count(limit) == 2
        rendered = rendered.replace(limit, here)
    with started(gateway, rendered) as it:
        yield Served(gateway=it, key=signing_key)


#: Envoy gives a client that it hangs up on a second to read why.
AT_ONCE = '"delayed_close_timeout": "0.1s"'


@pytest.fixture(scope="module")
def served(model_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As patient as in earnest."""
    limit = '"request_timeout": "30s"'
    with behind_a_gateway(model_server, tmp_path_factory.mktemp("patient"), (limit, f"{limit}, {AT_ONCE}")) as it:
        yield it


@pytest.fixture(scope="module")
def impatient(model_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With the time limits of slow clients set short."""
    limits = (
        ('"request_headers_timeout": "10s"', f'"request_headers_timeout": "{HEADERS_SECONDS}s"'),
        ('"request_timeout": "30s"', f'"request_timeout": "{REQUEST_SECONDS}s", {AT_ONCE}'),
    )
    with behind_a_gateway(model_server, tmp_path_factory.mktemp("impatient"), *limits) as it:
        yield it


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One bad request in the forms of both APIs, and patterns of what each answers."""

    rest: Callable[[Served], tuple[int, str]]
    says: str
    grpc: Callable[[Served], str] | None = None
    code: str = ""


def _with_token(make: Callable[[SigningKey], str], says: str, code: str) -> Bad:
    return Bad(
        rest=lambda it: it.rest(FINE_JSON, token=make(it.key)),
        says=says,
        grpc=lambda it: it.grpc(FINE, token=make(it.key)),
        code=code,
    )


def _unsigned(_: SigningKey) -> str:
    claims = {"iss": "roost", "aud": "roost-predictions", "sub": "x", "exp": time.time() + 600}
    return jwt.encode(claims, None, algorithm="none")


BAD = {
    "malformed JSON": Bad(
        rest=lambda it: it.rest('{"instances": ['), says="400 JSON Parse error: Invalid value. at offset: 15"
    ),
    "no JSON": Bad(rest=lambda it: it.rest(""), says="400 JSON Parse error: The document is empty"),
    "wrong dtype": Bad(
        rest=lambda it: it.rest('{"instances": ["a"]}'),
        says='400 .*JSON Value: "a" Type: String is not of expected type: float',
        grpc=lambda it: it.grpc(np.array(["a"], object)),
        code="INVALID_ARGUMENT: ",
    ),
    "wrong shape": Bad(
        rest=lambda it: it.rest('{"instances": [[1.0, 2.0, 3.0]]}', path=f"/v1/models/{PAIR}:predict"),
        says=r"400 Matrix size-incompatible: In\[0\]: \[1,3\], In\[1\]: \[2,1\]",
        grpc=lambda it: it.grpc(np.ones((1, 3), np.float32), name=PAIR),
        code=r"INVALID_ARGUMENT: Matrix size-incompatible: In\[0\]: \[1,3\], In\[1\]: \[2,1\]",
    ),
    "rows of several lengths": Bad(
        rest=lambda it: it.rest('{"instances": [[1.0, 2.0], [3.0]]}', path=f"/v1/models/{PAIR}:predict"),
        says="400 .*Expecting tensor size: 2 but got: 1",
    ),
    "missing feature": Bad(
        rest=lambda it: it.rest('{"instances": [{"z": 1.0}]}'),
        says="400 .*does not have named input: z",
        grpc=lambda it: it.grpc(FINE, input_name="z"),
        code="INVALID_ARGUMENT: .*not found in request",
    ),
    "unknown version": Bad(
        rest=lambda it: it.rest(FINE_JSON, path=f"/v1/models/{NAME}/versions/9:predict"),
        says=r"404 Servable not found for request: Specific\(ua\.default, 9\)",
        grpc=lambda it: it.grpc(FINE, version={"value": 9}),
        code=r"NOT_FOUND: Servable not found for request: Specific\(ua\.default, 9\)",
    ),
    "unknown label": Bad(
        rest=lambda it: it.rest(FINE_JSON, path=f"/v1/models/{NAME}/labels/x:predict"),
        says="400 Unrecognized servable version label: x",
        grpc=lambda it: it.grpc(FINE, version_label="x"),
        code="INVALID_ARGUMENT: Unrecognized servable version label: x",
    ),
    "unknown signature": Bad(
        rest=lambda it: it.rest('{"signature_name": "no", "instances": [1.0]}'),
        says='400 Serving signature name: "no" not found',
        grpc=lambda it: it.grpc(FINE, signature_name="no"),
        code='FAILED_PRECONDITION: Serving signature key "no" not found',
    ),
    "50 MB": Bad(
        rest=lambda it: it.rest(b"x" * 50_000_000),
        says="413 Payload Too Large",
        grpc=lambda it: it.grpc(np.zeros(12_500_000, np.float32)),
        code="RESOURCE_EXHAUSTED: Payload Too Large",
    ),
    "expired token": _with_token(
        lambda key: a_token(key, now=time.time() - 3600), "401 Jwt is expired", "UNAUTHENTICATED: Jwt is expired"
    ),
    "another customer's token": _with_token(
        lambda key: a_token(key, customers=("dl",)),
        "403 the token does not open this model",
        "PERMISSION_DENIED: the token does not open this model",
    ),
    "alg none": _with_token(_unsigned, "401 Jwt is not in the form", "UNAUTHENTICATED: Jwt is not in the form"),
    "a token of nobody's key": _with_token(
        lambda _: a_token(SigningKey.create()), "401 Jwks doesn't have key", "UNAUTHENTICATED: Jwks doesn't have key"
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_gets_the_error_of_its_api_and_the_next_one_works(served: Served, case: str):
    bad = BAD[case]

    status, error = bad.rest(served)

    assert re.match(bad.says, f"{status} {error}", re.DOTALL)
    if bad.grpc is not None:
        assert re.match(bad.code, bad.grpc(served), re.DOTALL)
    assert served.works()


def test_nan_goes_in_and_comes_out_by_both_apis(served: Served):
    """TensorFlow Serving takes NaN, in JSON too; whoever does not want it declares it in the manifest."""
    status, answer = served.rest('{"instances": [NaN]}')

    assert (status, "NaN" in answer) == (200, True)
    assert served.grpc(np.array([np.nan], np.float32)) == "OK"


HEAD = b"POST /v1/models/ua.default:predict HTTP/1.1\r\nhost: gateway\r\n"
#: What a client writes on a connection, and what the gateway answers before it closes it.
RAW = {
    "garbage on the REST port": ("rest", bytes(range(256)) * 40, rb"HTTP/1\.1 400 .*{\"error\":\"Bad Request\"}"),
    "garbage on the gRPC port": ("grpc", bytes(range(256)) * 40, b"$"),
    "REST on the gRPC port": ("grpc", HEAD + b"\r\n", b"$"),
    "headers that are too long": ("rest", HEAD + b"x: " + b"y" * 70_000, rb"HTTP/1\.1 431 .*{\"error\":"),
    "too many headers": ("rest", HEAD + b"x: y\r\n" * 200 + b"\r\n", rb"HTTP/1\.1 431 .*{\"error\":"),
    "two lengths of a body": (
        "rest",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        rb"HTTP/1\.1 400 .*{\"error\":",
    ),
}


@pytest.mark.parametrize("case", RAW)
def test_a_client_that_speaks_no_proper_http_is_told_so_and_hung_up_on(served: Served, case: str):
    door, content, answer = RAW[case]

    assert re.match(answer, served.raw(door, content), re.DOTALL)
    assert served.works()


def test_headers_that_never_end_are_a_timeout(impatient: Served):
    answer = impatient.raw("rest", HEAD)

    assert re.match(rb"HTTP/1\.1 408 .*{\"error\":\"request header timeout\"}", answer, re.DOTALL)
    assert impatient.works()


def test_a_body_that_never_ends_is_a_timeout(impatient: Served):
    token = a_token(impatient.key, customers=("ua",)).encode()
    head = HEAD + b"authorization: Bearer " + token + b"\r\ncontent-length: 100\r\n\r\nab"

    answer = impatient.raw("rest", head)

    assert re.match(rb"HTTP/1\.1 408 .*{\"error\":\"request timeout\"}", answer, re.DOTALL)
    assert impatient.works()


def test_a_call_that_never_ends_is_a_deadline_exceeded(impatient: Served):
    with http2(impatient.gateway.config.grpc) as client:
        client.begin(a_token(impatient.key, customers=("ua",)))

        headers = client.headers()

    assert (headers["grpc-status"], headers["grpc-message"]) == ("4", "request timeout")
    assert impatient.works()


def test_whoever_opens_and_resets_streams_without_end_loses_the_connection_and_others_do_not(served: Served):
    """The rapid reset of CVE-2023-44487."""
    with http2(served.gateway.config.grpc) as client:
        for _ in range(1500):
            client.begin("x", reset=True)

        assert client.closed()
    assert served.works()
