"""The gateway's copies: TensorFlow Serving's forms are read, and nothing that the model would not take."""

from __future__ import annotations

import json

import numpy as np
import pytest

from roost.adapters.tf_messages import packed_tensor_from_array, predict_pb2, tensor_pb2
from roost.contracts.manifest import InputSpec
from serving.node.app.checking import RowChecker
from serving.node.taps.copies import GRPC_PATH, Copy, Unreadable, opened, tensors
from tests.unit.node_app.world import INPUTS, a_row

CHECKER = RowChecker(INPUTS)
ONE = RowChecker((InputSpec(name="x", dtype="DT_FLOAT", shape=(-1,)),))
PATH = "/v1/models/ua.default/labels/stable:predict"
COLUMNS = {"origin": ["EWR"], "distance": [1400.0], "hour": [17], "temp": [60.5]}


def rest(document: object, path: str = PATH) -> Copy:
    return Copy(path=path, body=document if isinstance(document, bytes) else json.dumps(document).encode())


def read(copy: Copy, checker: RowChecker = CHECKER) -> dict[str, list[object]]:
    return {name: values.tolist() for name, values in tensors(opened(copy), checker).items()}


def message(**changes: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default", "version_label": "stable"})
    arrays = {
        "origin": np.array([b"EWR"], object),
        "distance": np.array([1400.0], np.float32),
        "hour": np.array([17], np.int64),
        "temp": np.array([np.nan], np.float32),
    }
    for name, values in (arrays | changes).items():
        if values is not None:
            request.inputs[name].CopyFrom(packed_tensor_from_array(values))
    return request


def framed(request: predict_pb2.PredictRequest) -> Copy:
    content = request.SerializeToString()
    return Copy(path=GRPC_PATH, body=b"\0" + len(content).to_bytes(4, "big") + content)


@pytest.mark.parametrize("document", [{"instances": [a_row()]}, {"inputs": COLUMNS}])
def test_both_json_forms_are_read(document: dict[str, object]) -> None:
    found = opened(rest(document))

    assert found.name == "ua.default"
    assert read(rest(document)) == {"origin": [b"EWR"], "distance": [1400.0], "hour": [17], "temp": [60.5]}


@pytest.mark.parametrize(
    "document",
    [{"instances": [1, 2]}, {"instances": [{"x": 1}, {"x": 2}]}, {"inputs": [1, 2]}, {"inputs": {"x": [1, 2]}}],
)
def test_the_name_of_a_single_input_may_be_left_out(document: dict[str, object]) -> None:
    assert read(rest(document), ONE) == {"x": [1.0, 2.0]}


def test_bytes_of_a_single_input_are_a_value() -> None:
    checker = RowChecker((InputSpec(name="x", dtype="DT_STRING", shape=(-1,)),))

    assert read(rest({"instances": [{"b64": "RVdS"}]}), checker) == {"x": [b"EWR"]}


def test_a_message_is_read_as_it_is() -> None:
    found = tensors(opened(framed(message())), CHECKER)

    assert found["origin"].tolist() == [b"EWR"]
    assert (found["hour"].dtype, found["hour"].tolist()) == (np.int64, [17])
    assert np.isnan(found["temp"]).all()


HUGE = tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 2**40}]}, float_val=[1.0])


@pytest.mark.parametrize(
    "copy",
    [
        rest(b"{"),
        rest([]),
        rest({}),
        rest({"instances": []}),
        rest({"instances": 7}),
        rest({"instances": [a_row(ssn="078-05-1120")]}),
        rest({"instances": [a_row(hour="x")]}),
        rest({"instances": [a_row()], "inputs": COLUMNS}),
        rest({"instances": [a_row()], "signature_name": "classify"}),
        rest({"inputs": {**COLUMNS, "hour": [1, 2]}}),
        rest({"inputs": {**COLUMNS, "hour": 17}}),
        rest({"inputs": 7}),
        rest({"instances": [a_row()]}, "/v1/models/ua.default/versions/3:predict"),
        rest({"instances": [a_row()]}, "/v1/models/ua.default/labels/stable:classify"),
        Copy(path=GRPC_PATH, body=b""),
        Copy(path=GRPC_PATH, body=b"\1\0\0\0\0"),
        Copy(path=GRPC_PATH, body=b"\0\0\0\0\2\xff\xff"),
        framed(message(hour=None)),
        framed(message(ssn=np.array([b"078-05-1120"], object))),
        framed(message(hour=np.array([17], np.int32))),
        framed(message(hour=np.array([[17]], np.int64))),
        framed(message(hour=np.array([17, 18], np.int64))),
        framed(predict_pb2.PredictRequest(model_spec={"name": "ua.default", "version": {"value": 3}})),
        framed(predict_pb2.PredictRequest(model_spec={"name": "ua.default", "version_label": "previous"})),
        framed(predict_pb2.PredictRequest(model_spec={"name": "ua.default", "signature_name": "classify"})),
        framed(predict_pb2.PredictRequest(inputs={**message().inputs, "distance": HUGE})),
        framed(predict_pb2.PredictRequest(inputs={**message().inputs, "distance": tensor_pb2.TensorProto(dtype=999)})),
    ],
)
def test_what_the_model_would_not_take_is_not_read(copy: Copy) -> None:
    with pytest.raises(Unreadable):
        read(copy)
