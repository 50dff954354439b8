"""TensorFlow Serving's REST API through the gateway."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from tests.integration.gateway.running import Running, logged

pytestmark = pytest.mark.integration

BODY = {"instances": [{"distance": 1400.0}]}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/v1/models/ua.default:predict", "/v1/models/ua.default/labels/stable:predict"),
        ("/v1/models/ua.default:classify", "/v1/models/ua.default/labels/stable:classify"),
        ("/v1/models/ua.default:regress", "/v1/models/ua.default/labels/stable:regress"),
        ("/v1/models/ua.default/versions/7:predict", "/v1/models/ua.default/versions/7:predict"),
        ("/v1/models/ua.default/labels/canary:predict", "/v1/models/ua.default/labels/canary:predict"),
    ],
)
def test_a_prediction_that_names_no_version_goes_to_the_stable_one(open_gateway: Running, asked: str, sent: str):
    answer = open_gateway.client.post(asked, json=BODY)

    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["method"], seen["path"]) == ("POST", sent)
    assert json.loads(seen["body"]) == BODY


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/v1/models/ua.default", "/v1/models/ua.default"),
        ("/v1/models/ua.default/versions/7", "/v1/models/ua.default/versions/7"),
        ("/v1/models/ua.default/labels/stable", "/v1/models/ua.default/labels/stable"),
        ("/v1/models/ua.default/metadata", "/v1/models/ua.default/labels/stable/metadata"),
        ("/v1/models/ua.default/versions/7/metadata", "/v1/models/ua.default/versions/7/metadata"),
        ("/v1/models/ua.default/labels/canary/metadata", "/v1/models/ua.default/labels/canary/metadata"),
    ],
)
def test_a_status_without_a_version_stays_the_whole_list_and_metadata_is_the_stable_ones(
    open_gateway: Running, asked: str, sent: str
):
    answer = open_gateway.client.get(asked)

    assert answer.status_code == 200
    assert (answer.json()["method"], answer.json()["path"]) == ("GET", sent)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/models"),
        ("GET", "/monitoring/prometheus/metrics"),
        ("GET", "/v1/models/ua.default:predict"),
        ("POST", "/v1/models/ua.default"),
        ("POST", "/v1/models/ua.default:reload"),
        ("POST", "/v1/models/ua.default/versions/7x:predict"),
        ("POST", "/v1/models/ua/default:predict"),
        ("POST", "/v1/models/ua%20default:predict"),
        ("POST", "/v1/models/x/../../../monitoring/prometheus/metrics"),
        ("DELETE", "/v1/models/ua.default"),
        ("PUT", "/v1/models/ua.default:predict"),
        ("OPTIONS", "/v1/models/ua.default:predict"),
        ("POST", "/tensorflow.serving.ModelService/HandleReloadConfigRequest"),
        ("GET", "/stats"),
    ],
)
def test_nothing_else_passes_and_the_refusal_has_the_form_of_tensorflow_serving(
    open_gateway: Running, method: str, path: str
):
    answer = open_gateway.client.request(method, path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert "does not answer this path" in answer.json()["error"]


def test_an_escaped_slash_is_refused(open_gateway: Running):
    answer = open_gateway.client.post("/v1/models/ua.default%2Fversions%2F7:predict", json=BODY)

    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_body_over_the_limit_is_refused_and_one_under_it_passes(open_gateway: Running):
    path = "/v1/models/ua.default:predict"

    assert open_gateway.client.post(path, content=b"x" * 1_000_000).status_code == 200
    refused = open_gateway.client.post(path, content=b"x" * 1_100_000)

    assert refused.status_code == 413
    assert "Payload Too Large" in refused.json()["error"]


def test_a_packed_body_is_unpacked_and_the_limit_holds_for_what_it_unpacks_to(open_gateway: Running):
    path, headers = "/v1/models/ua.default:predict", {"content-encoding": "gzip"}

    passed = open_gateway.client.post(path, content=gzip.compress(json.dumps(BODY).encode()), headers=headers)
    tight = open_gateway.client.post(path, content=gzip.compress(b"x" * 1_000_000), headers=headers)
    refused = open_gateway.client.post(path, content=gzip.compress(b"x" * 1_100_000), headers=headers)

    assert json.loads(passed.json()["body"]) == BODY
    assert len(tight.json()["body"]) == 1_000_000
    assert refused.status_code == 413


def test_a_client_cannot_set_the_gateways_own_headers(open_gateway: Running):
    headers = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-original-path": "/forged", "x-forwarded-for": "6.6.6.6"}

    answer = open_gateway.client.post("/v1/models/ua.default:predict", json=BODY, headers=headers)

    assert answer.status_code == 200
    assert "x-envoy-upstream-rq-timeout-ms" not in answer.json()["headers"]
    assert answer.json()["headers"].get("x-envoy-original-path") != "/forged"


def test_the_access_log_holds_one_line_of_json_a_request_with_the_id_that_the_client_got(open_gateway: Running):
    answer = open_gateway.client.post("/v1/models/ua.default:predict?secret=1", json=BODY)
    wanted = answer.headers["x-request-id"]
    file = open_gateway.config.settings.access_log
    assert file is not None

    until = time.monotonic() + 60
    lines: list[dict[str, object]] = []
    while not lines and time.monotonic() < until:
        lines = [entry for entry in logged(file) if entry["request_id"] == wanted]
        time.sleep(0.05)

    (line,) = lines
    assert line["path"] == "/v1/models/ua.default:predict"
    assert (line["status"], line["method"], line["client"]) == (200, "POST", "127.0.0.1")


def test_statistics_are_told_on_the_admin_socket_only(open_gateway: Running):
    open_gateway.client.get("/v1/models/ua.default")

    assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="rest"}' in (
        open_gateway.admin.stats()
    )
    assert open_gateway.client.get("/stats/prometheus").status_code == 404
    assert open_gateway.config.admin_socket.stat().st_mode & 0o077 == 0
