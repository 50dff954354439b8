"""TensorFlow Serving's gRPC API through the gateway. The stand-in answers with the bytes that it got."""

from __future__ import annotations

import random
import struct
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from roost.adapters.tf_messages import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    tensor_from_array,
)

# `tf_messages` does not pass these on; its import above has made them importable without TensorFlow.
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2  # isort: skip
from tests.integration.gateway.running import Running

pytestmark = pytest.mark.integration

SERVICE = "/tensorflow.serving.PredictionService"
PREDICT = f"{SERVICE}/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

WITH_MODEL_SPEC = [
    ("Predict", predict_pb2.PredictRequest),
    ("Classify", classification_pb2.ClassificationRequest),
    ("Regress", regression_pb2.RegressionRequest),
    ("GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest),
]


def a_predict_request(**spec: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name="ua.default", **spec))
    request.inputs["distance"].CopyFrom(tensor_from_array(np.linspace(0, 1, 300, dtype=np.float32)))
    return request


def refused(gateway: Running, method: str, request: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        gateway.call(method, request)
    return caught.value


@pytest.mark.parametrize(("method", "message"), WITH_MODEL_SPEC)
def test_a_request_that_names_neither_version_nor_label_gets_the_stable_label(
    open_gateway: Running, method: str, message: Any
):
    request = message(model_spec=model_pb2.ModelSpec(name="ua.default", signature_name="other"))

    seen = message.FromString(open_gateway.call(f"{SERVICE}/{method}", request.SerializeToString()))

    request.model_spec.version_label = "stable"
    assert seen == request


@pytest.mark.parametrize(("method", "message"), WITH_MODEL_SPEC)
@pytest.mark.parametrize("chosen", [{"version": {"value": 7}}, {"version_label": "canary"}, {"version": {}}])
def test_a_version_or_label_that_is_given_is_left_alone(
    open_gateway: Running, method: str, message: Any, chosen: dict[str, Any]
):
    request = message(model_spec=model_pb2.ModelSpec(name="ua.default", **chosen)).SerializeToString()

    assert open_gateway.call(f"{SERVICE}/{method}", request) == request


def test_each_task_of_a_multi_inference_is_labelled_for_itself(open_gateway: Running):
    request = inference_pb2.MultiInferenceRequest()
    for version in (None, 7, None):
        task = request.tasks.add(method_name="tensorflow/serving/classify")
        task.model_spec.name = "ua." + "default" * 20
        if version:
            task.model_spec.version.value = version
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.5)

    seen = inference_pb2.MultiInferenceRequest.FromString(
        open_gateway.call(f"{SERVICE}/MultiInference", request.SerializeToString())
    )

    for task in (request.tasks[0], request.tasks[2]):
        task.model_spec.version_label = "stable"
    assert seen == request


def test_a_status_request_is_left_alone_since_it_means_all_versions(open_gateway: Running):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "ua.default"}).SerializeToString()

    assert open_gateway.call(STATUS, request) == request


def test_random_requests_arrive_as_protobuf_itself_would_have_labelled_them(open_gateway: Running):
    """Also those that no client library writes: spec and name in several pieces, unknown fields, long varints."""
    chance = random.Random(20)
    for _ in range(150):
        raw = _random_request(chance)
        expected = predict_pb2.PredictRequest.FromString(raw)
        if expected.model_spec.WhichOneof("version_choice") is None:
            expected.model_spec.version_label = "stable"

        seen = predict_pb2.PredictRequest.FromString(open_gateway.call(PREDICT, raw))

        assert seen == expected, raw


def _random_request(chance: random.Random) -> bytes:
    pieces = []
    for _ in range(chance.randint(0, 4)):
        spec = model_pb2.ModelSpec()
        for field, value in (("name", "ua.default"), ("signature_name", "s"), ("version_label", "canary")):
            if chance.random() < 0.3:
                setattr(spec, field, value * chance.choice((1, 1, 20)))
        if chance.random() < 0.15:
            spec.version.value = chance.choice((0, 1, 2**62))
        content = spec.SerializeToString()
        if chance.random() < 0.3:
            content += b"\x78" + b"\xff" * 9 + b"\x01"  # unknown field 15, a varint of ten bytes
        pieces.append(b"\x0a" + _long_varint(chance, len(content)) + content)
    if chance.random() < 0.7:
        rest = predict_pb2.PredictRequest(output_filter=["y"])
        rest.inputs["x"].CopyFrom(tensor_from_array(np.arange(chance.randint(0, 400))))
        pieces.append(rest.SerializeToString())
    if chance.random() < 0.4:
        pieces.append(chance.choice((b"\x08\x05", b"\x0d\0\0\0\0", b"\x09" + b"\0" * 8, b"\xfa\x07\x03abc")))
    chance.shuffle(pieces)
    return b"".join(pieces)


def _long_varint(chance: random.Random, value: int) -> bytes:
    """The value as a varint, sometimes a byte longer than it needs to be, which protobuf accepts."""
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    if chance.random() < 0.3:
        out[-1] |= 128
        out.append(0)
    return bytes(out)


@pytest.mark.parametrize(
    "method",
    [
        RELOAD,
        f"{SERVICE}/PredictStreamed",
        "/tensorflow.serving.SessionService/SessionRun",
        "/tensorflow.ProfilerService/Profile",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/tensorflow.serving.PredictionService/predict",
    ],
)
def test_a_reload_and_every_other_method_is_unimplemented(open_gateway: Running, method: str):
    request = model_management_pb2.ReloadConfigRequest().SerializeToString()

    error = refused(open_gateway, method, request)

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.details() == "the gateway does not offer this method"


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"\x0a\x05ab", b"\x0b\x0c", b"\x00\x01", b"\x0a\x03\x0a\x05x", b"\x0a\x02\x0a\x80", b"\x0f\x01"],
    ids=["tag cut off", "field cut off", "a group", "field 0", "name cut off", "length cut off", "unknown wire type"],
)
def test_a_malformed_message_is_an_invalid_argument(open_gateway: Running, content: bytes):
    error = refused(open_gateway, PREDICT, content)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "malformed request" in (error.details() or "")


GOOD = a_predict_request().SerializeToString()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "3"),
        (b"\0\0\0", "3"),
        (struct.pack(">BI", 0, len(GOOD) + 1) + GOOD, "3"),
        (struct.pack(">BI", 0, len(GOOD) - 1) + GOOD, "3"),
        (2 * (struct.pack(">BI", 0, len(GOOD)) + GOOD), "3"),
        (struct.pack(">BI", 2, len(GOOD)) + GOOD, "3"),
        (struct.pack(">BI", 1, len(GOOD)) + GOOD, "12"),
    ],
    ids=["empty", "cut off", "too short", "too long", "two messages", "unknown flag", "compressed"],
)
def test_a_body_that_is_not_one_plain_frame_is_refused(open_gateway: Running, body: bytes, status: str):
    answer = _raw_call(open_gateway, body)

    assert answer["grpc-status"] == status


def _raw_call(gateway: Running, body: bytes) -> dict[str, str]:
    """The response's headers. HTTP/1.1 cannot be spoken on the gRPC port, so h2 is, by the library that httpx uses."""
    with httpx.Client(http1=False, http2=True, timeout=60) as client:
        headers = {"content-type": "application/grpc", "te": "trailers"}
        return dict(client.post(f"http://{gateway.config.grpc}{PREDICT}", content=body, headers=headers).headers)


def test_a_compressed_call_of_a_client_is_unimplemented(open_gateway: Running):
    with grpc.insecure_channel(open_gateway.config.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(PREDICT)(GOOD, timeout=60, compression=grpc.Compression.Gzip)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "uncompressed" in (caught.value.details() or "")


def test_a_request_over_the_limit_is_told_so(open_gateway: Running):
    request = a_predict_request()
    request.inputs["distance"].CopyFrom(tensor_from_array(np.zeros(300_000, dtype=np.float32)))

    error = refused(open_gateway, PREDICT, request.SerializeToString())

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_large_request_under_the_limit_passes_whole(open_gateway: Running):
    request = a_predict_request()
    request.inputs["distance"].CopyFrom(tensor_from_array(np.arange(240_000, dtype=np.float32)))

    seen = predict_pb2.PredictRequest.FromString(open_gateway.call(PREDICT, request.SerializeToString()))

    request.model_spec.version_label = "stable"
    assert seen == request
