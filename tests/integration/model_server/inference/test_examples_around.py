"""Questions in examples over REST, their metrics, warm-up, and the check of method names."""

from pathlib import Path

import grpc
import pytest

from tests.integration.model_server.conftest import Start
from tests.integration.model_server.inference.questions import (
    CLASSIFY,
    REGRESS,
    classification,
    examples,
    refusal,
    regression,
)
from tests.integration.model_server.running import RunningServer

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

GIVEN = examples([{"age": 1.5, "job": "crew"}, {"age": 3.0}])


def test_rest_classifies_and_regresses(asked: RunningServer) -> None:
    """`results`, with context and b64; the next request works after a refusal."""
    body = {"signature_name": "regress", "context": {"job": {"b64": "Y3Jldw=="}}, "examples": [{"age": 1.5}]}
    assert asked.post("census:regress", body).json == {"results": [4.0]}
    answer = asked.post("census:classify", {"examples": [{"age": 1.5, "job": "crew"}]})
    assert answer.text == '{\n    "results": [[["high", 4.0], ["low", -4.0]]\n    ]\n}'
    refused = asked.post("census:classify", {"examples": [{"age": None}]})
    assert (refused.status, refused.json) == (
        400,
        {"error": "Feature: age has element with unexpected JSON type: Null"},
    )
    refused = asked.post("census/versions/9:classify", {"examples": [{}]})
    assert (refused.status, refused.json["error"]) == (404, "Servable not found for request: Specific(census, 9)")
    assert asked.post("census:classify", {"examples": [{}]}).status == 200


def test_requests_in_examples_are_counted_and_timed(asked: RunningServer) -> None:
    """By the official names and labels."""
    asked.predictions.Classify(classification("", GIVEN), timeout=100)
    asked.post("census:regress", {"signature_name": "regress", "examples": [{}]})
    page = asked.http("GET", "/monitoring/prometheus/metrics").text
    for name in (
        'request_latency_count{model_name="census",API="Classify",entrypoint="GRPC"}',
        'request_latency_count{model_name="census",API="regress",entrypoint="REST"}',
        'runtime_latency_count{model_name="census",API="Regress",runtime="TF1"}',
        'request_example_counts_count{model="census"}',
        'request_example_count_total{model="census"}',
    ):
        assert f":tensorflow:serving:{name} " in page


def test_warm_up_requests_in_examples_are_answered_at_load(asked: RunningServer) -> None:
    """`census` brings one of each kind; a kind that could not be answered would have failed the load."""
    page = asked.http("GET", "/monitoring/prometheus/metrics").text
    (line,) = (each for each in page.splitlines() if "model_warmup_latency_count" in each and "/census/1" in each)
    assert line.endswith('status="OK"} 1')


def test_method_names_are_checked_where_the_flag_asks(start: Start, saved_models: Path) -> None:
    """Then a signature answers only what it was exported for, and Predict only the three methods that there are."""
    server = start(
        "--model_name=census", f"--model_base_path={saved_models}/census", "--enable_signature_method_name_check"
    )
    assert len(server.predictions.Classify(classification("", GIVEN), timeout=100).result.classifications) == 2
    assert refusal(server.predictions.Classify, classification("regress", GIVEN)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
    )
    assert refusal(server.predictions.Regress, regression("", GIVEN)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
    )
    answer = server.post("census:predict", {"signature_name": "unnamed", "inputs": [{"b64": ""}]})
    assert answer.status == 500
    assert answer.json["error"] == (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
    )
