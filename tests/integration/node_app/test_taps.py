"""Recorded requests of a real node, in the bytes of a real object store."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from roost.adapters.recordings import StoredRecordings
from roost.adapters.tf_messages import packed_tensor_from_array, predict_pb2, prediction_service_pb2_grpc
from roost.ports.clock import SystemClock
from roost.ports.recordings import RecordedRequest
from tests.integration.node.world import eventually
from tests.integration.node_app.world import Town, a_row

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

SECRET = "Jane-Doe-078-05-1120"


def by_rest(town: Town, customer: str, distance: float) -> None:
    body = json.dumps({"instances": [a_row(passenger=SECRET, distance=distance)]}).encode()
    response = town.post(f"/v1/models/{customer}.default:predict", body, token=town.token())
    assert response.status_code == 200, response.text


def by_page(town: Town, customer: str, distance: float) -> None:
    response = town.ask(customer, a_row(passenger=SECRET, distance=distance))
    assert response.status_code == 200, response.text


def by_grpc(town: Town, customer: str, distance: float) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": f"{customer}.default"})
    row = a_row(passenger=SECRET, distance=distance)
    kinds = {"origin": object, "passenger": object, "distance": np.float32, "hour": np.int64, "temp": np.float32}
    for name, kind in kinds.items():
        value = row[name].encode() if isinstance(row[name], str) else row[name]
        request.inputs[name].CopyFrom(packed_tensor_from_array(np.array([value], kind)))
    with grpc.insecure_channel(town.node.address.grpc) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        token = [("authorization", f"Bearer {town.token()}")]
        assert service.Predict(request, timeout=60, metadata=token).model_spec.version.value >= 1


def recorded(town: Town, customer: str) -> list[RecordedRequest]:
    return list(StoredRecordings(town.fleet.store, SystemClock()).newest(f"{customer}.default", 1000))


@pytest.mark.parametrize(
    ("ask", "distance"),
    [(by_rest, 101.0), (by_page, 102.0), (by_grpc, 103.0)],
    ids=["rest", "page", "grpc"],
)
def test_a_request_is_recorded_without_what_the_policy_takes_out(
    town: Town, ask: Callable[[Town, str, float], None], distance: float
):
    ask(town, "private", distance)
    ask(town, "ua", distance)

    def found() -> list[RecordedRequest]:
        return [each for each in recorded(town, "ua") if each.inputs["distance"].tolist() == [distance]]

    eventually(lambda: bool(found()), "the request is recorded")
    (request,) = found()
    assert request.inputs["origin"].tolist() == [b"EWR"]
    assert request.inputs["hour"].tolist() == [18]
    assert len(request.inputs["passenger"][0]) == 16
    # Not in any form, of anybody: the bytes of everything that was recorded.
    written = [town.fleet.store.read(each.name)[0] for each in town.fleet.store.list("recorded/")]
    assert written
    assert not [content for content in written if SECRET.encode() in content]
    assert recorded(town, "private") == []


def test_a_dropped_number_is_gone_and_the_rest_is_there(town: Town):
    by_rest(town, "plain", 271.0)

    eventually(lambda: bool(recorded(town, "plain")), "the request is recorded")
    (request,) = recorded(town, "plain")
    assert set(request.inputs) == {"origin", "hour", "temp"}


def test_a_customer_without_a_model_is_recorded_for_the_day_on_which_they_have_one(town: Town):
    by_page(town, "newcomer", 314.0)

    eventually(lambda: bool(recorded(town, "newcomer")), "the request is recorded")
    assert recorded(town, "newcomer")[0].inputs["distance"].tolist() == [314.0]


def test_no_client_reaches_the_place_of_the_copies(town: Town):
    """Its paths are the model server's to every client, and what a client says of itself changes nothing."""
    body = json.dumps({"instances": [a_row(distance=666.0, extra=1)]}).encode()

    response = town.post("/v1/models/ua.default/labels/stable:predict", body, token=town.token())
    elsewhere = town.post("/tensorflow.serving.PredictionService/Predict", body, token=town.token())

    assert response.status_code == 400
    assert elsewhere.status_code == 404
