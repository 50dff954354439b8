"""Requests that choose no version, shared out between labels: in exact shares, and the same key always to one side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from roost.adapters.tf_messages import predict_pb2
from serving.gateway.render import render
from serving.gateway.shares import label_for
from serving.gateway.table import RoutingTable
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.running import Running, configured, started
from tests.integration.gateway.stand_in import StandIn

# `tf_messages` does not pass these on; its import above has made them importable without TensorFlow.
from tensorflow_serving.apis import inference_pb2  # isort: skip

pytestmark = pytest.mark.integration

PERCENT = 10.0
KEYS = [f"user-{number}" for number in range(2000)]
#: How likely a sound gateway fails a test here.
FALSE_ALARM = 1e-6
TABLE = RoutingTable(splits={"ua.default": {"previous": PERCENT}, "dl.default": {"previous": PERCENT}})


@pytest.fixture(scope="module")
def gateway(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = configured(tmp_path_factory.mktemp("split"), socket=model_server.socket, rest=model_server.rest)
    with started(config, render(config, TABLE)) as it:
        yield it


def by_rest(gateway: Running, key: str | None, name: str = "ua.default", verb: str = "predict") -> str:
    """The label that the model server was asked for; checked against what the answer says of it."""
    headers = {"x-roost-key": key} if key else {}
    answer = gateway.client.post(f"/v1/models/{name}:{verb}?a=b", json={}, headers=headers)
    path = answer.json()["path"]
    label = answer.headers["x-roost-label"]
    assert path == f"/v1/models/{name}/labels/{label}:{verb}?a=b"
    return label


def by_grpc(gateway: Running, key: str | None, name: str = "ua.default", **spec: object) -> tuple[str, str | None]:
    """The label in the message that the model server got, and what the answer's metadata says."""
    request = predict_pb2.PredictRequest(model_spec={"name": name, **spec}).SerializeToString()
    metadata = [("x-roost-key", key)] if key else []
    answer, call = gateway.channel.unary_unary(PREDICT).with_call(request, timeout=60, metadata=metadata)
    said = dict(call.initial_metadata()).get("x-roost-label")
    return predict_pb2.PredictRequest.FromString(answer).model_spec.version_label, said


def many_by_grpc(gateway: Running, keys: Sequence[str | None], name: str = "ua.default") -> list[str]:
    """The same for many keys, a hundred at a time."""
    method = gateway.channel.unary_unary(PREDICT)
    request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
    labels = []
    for start in range(0, len(keys), 100):
        metadata = [[("x-roost-key", key)] if key else [] for key in keys[start : start + 100]]
        calls = [method.future(request, timeout=60, metadata=each) for each in metadata]
        labels += [predict_pb2.PredictRequest.FromString(call.result()).model_spec.version_label for call in calls]
    return labels


@pytest.fixture(scope="module")
def sides(gateway: Running) -> dict[str, str]:
    """Each key's label."""
    return dict(zip(KEYS, many_by_grpc(gateway, KEYS), strict=True))


def test_the_node_finds_the_same_side_for_each_key_as_the_gateway(sides: dict[str, str]):
    """The page of rows does not go through the gateway's script, and follows the same split."""
    found = {key: label_for("ua.default", key.encode(), {"previous": PERCENT}, otherwise="stable") for key in KEYS}

    assert found == sides


def is_the_share(counted: int, of: int, share: float = PERCENT / 100) -> bool:
    """Whether the exact binomial distribution allows so many: twice its smaller tail is not below the false alarm."""

    def likelihood(number: int) -> float:
        ways = math.lgamma(of + 1) - math.lgamma(number + 1) - math.lgamma(of - number + 1)
        return math.exp(ways + number * math.log(share) + (of - number) * math.log(1 - share))

    below, above = range(counted + 1), range(counted, of + 1)
    return 2 * min(sum(map(likelihood, below)), sum(map(likelihood, above))) > FALSE_ALARM


def test_keys_are_shared_out_as_asked_and_a_key_stays_on_its_side_by_rest_and_by_grpc(
    gateway: Running, sides: dict[str, str]
):
    counted = Counter(sides.values())
    assert set(counted) == {"stable", "previous"}
    assert is_the_share(counted["previous"], len(KEYS)), counted
    assert many_by_grpc(gateway, KEYS[:500]) == [sides[key] for key in KEYS[:500]]
    for key in KEYS[:100]:
        assert by_rest(gateway, key, verb="classify") == sides[key]
        assert by_grpc(gateway, key) == (sides[key], sides[key])


def test_the_same_key_is_shared_out_anew_for_another_model(gateway: Running, sides: dict[str, str]):
    """Otherwise the same users would be everybody's guinea pigs."""
    others = many_by_grpc(gateway, KEYS, "dl.default")
    both = sum(other == sides[key] == "previous" for key, other in zip(KEYS, others, strict=True))
    # Of two independent draws of 10 %, both come true in 1 %.
    assert is_the_share(both, len(KEYS), (PERCENT / 100) ** 2), both


def test_without_a_key_each_request_is_drawn_by_itself(gateway: Running):
    counted = Counter(many_by_grpc(gateway, [None] * 1800)) + Counter(by_rest(gateway, None) for _ in range(200))
    assert is_the_share(counted["previous"], 2000), counted


def test_another_gateway_puts_each_key_on_the_same_side(sides: dict[str, str], model_server: StandIn, tmp_path: Path):
    config = configured(tmp_path, socket=model_server.socket, rest=model_server.rest)
    with started(config, render(config, TABLE)) as other:
        assert many_by_grpc(other, KEYS[:500]) == [sides[key] for key in KEYS[:500]]


def test_each_task_of_a_multi_inference_goes_where_its_own_model_sends_it(gateway: Running):
    names = ("ua.default", "dl.default", "zz.default")
    request = inference_pb2.MultiInferenceRequest()
    for name in names:
        request.tasks.add().model_spec.name = name
    content = request.SerializeToString()
    for key in KEYS[:20]:
        call = gateway.channel.unary_unary("/tensorflow.serving.PredictionService/MultiInference")
        seen = inference_pb2.MultiInferenceRequest.FromString(
            call(content, timeout=60, metadata=[("x-roost-key", key)])
        )
        labels = [task.model_spec.version_label for task in seen.tasks]
        assert labels == [by_rest(gateway, key, "ua.default"), by_rest(gateway, key, "dl.default"), "stable"]


def test_what_chooses_a_version_or_label_or_has_no_split_is_left_alone(gateway: Running, sides: dict[str, str]):
    key = next(key for key, side in sides.items() if side == "previous")
    headers = {"x-roost-key": key}
    for path in ("/v1/models/ua.default/versions/3:predict", "/v1/models/ua.default/labels/stable:predict"):
        assert gateway.client.post(path, json={}, headers=headers).json()["path"] == path
    asked = gateway.client.get("/v1/models/ua.default/metadata", headers=headers).json()["path"]
    assert asked == "/v1/models/ua.default/labels/stable/metadata"
    assert by_rest(gateway, key, "zz.default") == "stable"
    assert by_grpc(gateway, key, version_label="stable")[0] == "stable"
    assert by_grpc(gateway, key, version={"value": 3})[0] == ""


def test_a_client_cannot_have_its_requests_mirrored(gateway: Running):
    answer = gateway.client.post("/v1/models/ua.default:predict", json={}, headers={"x-roost-mirror": "model_rest"})
    assert "x-roost-mirror" not in answer.json()["headers"]


def test_without_any_split_the_answer_says_stable(open_gateway: Running):
    assert by_rest(open_gateway, "user-1") == "stable"
    assert by_grpc(open_gateway, "user-1") == ("stable", "stable")
