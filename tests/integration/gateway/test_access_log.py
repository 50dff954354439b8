"""What the gateway writes down of each request: enough to find it again, and nothing that is the client's secret."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import PREDICT, a_token
from tests.integration.gateway.running import Running, configured, logged, running
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
PATH = "/v1/models/ua.default:predict"
FIELDS = {
    *("time", "api", "request_id", "trace_id", "client", "peer", "certificate", "subject", "customer", "model"),
    *("version", "label", "method", "path", "status", "details", "flags", "bytes_in", "bytes_out", "milliseconds"),
    "upstream_attempts",
}


def lines_of(gateway: Running, wanted: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
    """The log's lines that are wanted, once so many are there. The gateway writes them within a second."""
    log = gateway.config.settings.access_log
    assert log is not None
    until = time.monotonic() + 60
    while True:
        found = [entry for entry in logged(log) if wanted(entry)]
        if len(found) >= count or time.monotonic() > until:
            assert len(found) == count
            return found
        time.sleep(0.05)


def by_id(gateway: Running, answer: httpx.Response) -> dict[str, Any]:
    return lines_of(gateway, lambda line: bool(line["request_id"] == answer.headers["x-request-id"]))[0]


def test_a_rest_request_is_logged_with_who_what_and_how_much(open_gateway: Running):
    body = b'{"instances": [1, 2, 3]}'

    answer = open_gateway.client.post(f"{PATH}?secret=1", content=body, headers={"traceparent": TRACEPARENT})

    line = by_id(open_gateway, answer)
    assert line.keys() == FIELDS
    assert (line["api"], line["customer"], line["model"], line["label"]) == ("rest", "ua", "ua.default", "stable")
    assert (line["path"], line["status"], line["flags"]) == (PATH, 200, "-")
    assert (line["bytes_in"], line["bytes_out"]) == (len(body), len(answer.content))
    assert (line["trace_id"], line["upstream_attempts"]) == (TRACE, 1)
    assert line["milliseconds"] >= 0
    assert answer.json()["headers"]["traceparent"] == TRACEPARENT
    assert answer.json()["headers"]["x-request-id"] == line["request_id"]


def test_a_version_that_was_asked_for_is_the_one_that_answered_and_is_logged(open_gateway: Running):
    line = by_id(open_gateway, open_gateway.client.post("/v1/models/ua.default/versions/7:predict", json={}))

    assert (line["version"], line["label"]) == ("7", None)


@pytest.mark.parametrize(
    ("spec", "version", "label"),
    [({}, None, "stable"), ({"version": {"value": 2**40}}, str(2**40), None), ({"version_label": "b"}, None, "b")],
)
def test_a_grpc_call_is_logged_with_what_stands_in_its_message(
    open_gateway: Running, model_server: StandIn, spec: dict[str, Any], version: str | None, label: str | None
):
    trace = f"{len(repr(spec)):032x}"
    traceparent = f"00-{trace}-00f067aa0ba902b7-01"
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default", **spec}).SerializeToString()

    with grpc.insecure_channel(open_gateway.config.grpc) as channel:
        channel.unary_unary(PREDICT)(request, timeout=60, metadata=[("traceparent", traceparent)])

    (line,) = lines_of(open_gateway, lambda line: bool(line["trace_id"] == trace))
    assert line.keys() == FIELDS | {"grpc_status"}
    assert (line["api"], line["customer"], line["model"], line["grpc_status"]) == ("grpc", "ua", "ua.default", "OK")
    assert (line["version"], line["label"]) == (version, label)
    assert model_server.calls.metadata["traceparent"] == traceparent


@pytest.mark.parametrize("header", ["", "garbage", "00-XYZ-00f067aa0ba902b7-01", "x" * 5000])
def test_a_trace_header_that_is_none_leaves_the_field_empty_and_passes(open_gateway: Running, header: str):
    answer = open_gateway.client.post(PATH, json={}, headers={"traceparent": header})

    assert by_id(open_gateway, answer)["trace_id"] is None
    assert answer.json()["headers"]["traceparent"] == header


def test_refusals_are_logged_with_their_cause(open_gateway: Running):
    answer = open_gateway.client.post("/v1/nothing", json={})

    line = by_id(open_gateway, answer)

    assert (line["status"], line["details"], line["customer"]) == (404, "direct_response", None)


def test_a_clients_own_request_id_counts_only_where_the_settings_say_so(
    open_gateway: Running, model_server: StandIn, tmp_path: Path
):
    own = {"x-request-id": "my-own-id"}
    settings = GatewaySettings(keep_request_ids=True, access_log=tmp_path / "access.log")

    replaced = open_gateway.client.post(PATH, json={}, headers=own)
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        kept = it.client.post(PATH, json={}, headers=own)
        made = it.client.post(PATH, json={})
        assert by_id(it, kept)["request_id"] == "my-own-id"

    assert replaced.headers["x-request-id"] != "my-own-id"
    assert kept.headers["x-request-id"] == kept.json()["headers"]["x-request-id"] == "my-own-id"
    assert len(made.headers["x-request-id"]) == 36


@pytest.fixture(scope="module")
def asking_for_tokens(
    model_server: StandIn, signing_key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("logged")
    (directory / "jwks.json").write_text(key_set([signing_key]))
    settings = GatewaySettings(jwks_file=directory / "jwks.json", access_log=directory / "access.log")
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


def test_neither_token_nor_body_nor_query_nor_cookies_are_ever_logged(
    asking_for_tokens: Running, signing_key: SigningKey
):
    sound, broken = a_token(signing_key), a_token(SigningKey.create())
    secrets = [sound, broken, "the-body", "the-query", "the-cookie"]
    for token in (sound, broken):
        headers = {"authorization": f"Bearer {token}", "cookie": "session=the-cookie"}
        asking_for_tokens.client.post(f"{PATH}?key=the-query", content=b"the-body", headers=headers)

    lines = lines_of(asking_for_tokens, lambda _: True, count=2)

    assert [line["status"] for line in lines] == [200, 401]
    text = json.dumps(lines)
    assert not [secret for secret in secrets if secret in text]
