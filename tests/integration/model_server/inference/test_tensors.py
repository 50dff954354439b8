"""Predict's tensors: every dtype, both wire forms, defaults, and what cannot be a tensor."""

from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest

from roost.adapters.tf_messages import array_from_tensor, packed_tensor_from_array, predict_pb2, tensor_pb2, types_pb2
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.inference.questions import refusal
from tests.integration.model_server.running import RunningServer, predict_request

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

VALUES: dict[str, Any] = {
    "half": np.array([1.5, -65504.0, np.inf], np.float16),
    "bfloat16": np.array([1.5, -3e38, 0.0], ml_dtypes.bfloat16),
    "float32": np.array([1e-40, 3.4e38, 0.1], np.float32),
    "complex64": np.array([1 - 2j, 0, 1e30j], np.complex64),
    "complex128": np.array([1 - 2j, 0, 1e300j], np.complex128),
    "int8": np.array([-128, 0, 127], np.int8),
    "int16": np.array([-32768, 0, 32767], np.int16),
    "uint16": np.array([0, 1, 65535], np.uint16),
    "uint32": np.array([0, 1, 2**32 - 1], np.uint32),
    "uint64": np.array([0, 1, 2**64 - 1], np.uint64),
    "scalar": np.array(-7, np.int32),
}
FIELDS = {
    **dict.fromkeys(("half", "bfloat16"), "half_val"),
    **dict.fromkeys(("int8", "int16", "uint16", "scalar"), "int_val"),
    "float32": "float_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
}
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def _check(response: Any, *, packed: bool, of: dict[str, Any] = VALUES) -> None:
    for name, value in of.items():
        output = response.outputs[f"{name}_out"]
        back = array_from_tensor(output)
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(back.astype(value.dtype), value)
        filled = bool(output.tensor_content), bool(len(getattr(output, FIELDS[name])))
        assert filled == ((packed and value.size > 0), (not packed and value.size > 0)), name


def _packed_request() -> predict_pb2.PredictRequest:
    request = predict_request("dtypes", {})
    for name, value in VALUES.items():
        request.inputs[name].CopyFrom(packed_tensor_from_array(value))
    return request


def test_every_dtype_comes_back_in_its_typed_field_however_it_was_sent(asked: RunningServer) -> None:
    """As typed values, or as content."""
    _check(asked.predict("dtypes", VALUES), packed=False)
    _check(asked.predictions.Predict(_packed_request(), timeout=100), packed=False)


def test_empty_tensors_come_back_empty(asked: RunningServer) -> None:
    """With their dtype and shape."""
    empty = {name: value if name == "scalar" else value[:0] for name, value in VALUES.items()}
    _check(asked.predict("dtypes", empty), packed=False, of=empty)


def test_numbers_come_back_packed_where_the_flag_asks_for_it(start: Start, saved_models: Path) -> None:
    """All but strings."""
    server = start(
        "--model_name=dtypes", f"--model_base_path={saved_models}/dtypes", "--enable_serialization_as_tensor_content"
    )
    _check(server.predict("dtypes", VALUES), packed=True)


def test_json_carries_the_dtypes_that_the_official_server_reads_and_no_others(asked: RunningServer) -> None:
    """Halves and 16-bit integers without a sign are not read; what it cannot write is refused after the run."""
    answer = asked.post("dtypes:predict", {"inputs": {name: [1] for name in VALUES}})
    assert answer.status == 501
    assert answer.json["error"].startswith("Conversion of JSON Value: 1 to type: ")


def test_an_input_that_is_left_out_takes_its_default(asked: RunningServer) -> None:
    """Where the signature has one."""
    one = np.array([1.0], np.float32)
    response = asked.predict("default", {"a": one})
    assert list(response.outputs["b"].float_val) == [5.0]
    assert list(asked.predict("default", {"a": one, "b": one}).outputs["b"].float_val) == [1.0]


def _request(model: str, **tensors: tensor_pb2.TensorProto) -> predict_pb2.PredictRequest:
    request = predict_request(model, {})
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def _tensor(dtype: int, *shape: int, **fields: Any) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in shape]}, **fields)


FLOAT = types_pb2.DT_FLOAT
PARSING = "tensor parsing error: x"
ONE = _tensor(FLOAT, 1, float_val=[1.0])
REFUSALS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "a missing input without a default": (
        _request("default", b=ONE),
        INVALID,
        (
            "Signature input alias: a(feed name: serving_default_a:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {b}, or default input alias set: b"
        ),
    ),
    "an unknown input beside a default": (
        _request("default", a=ONE, q=ONE),
        INVALID,
        "Inputs contains invalid name. Used request inputs: a, request input: a,q",
    ),
    "an unknown input": (
        _request("scale", q=ONE),
        INVALID,
        (
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {q}, or default input alias set: "
        ),
    ),
    "content of another length": (_request("scale", x=_tensor(FLOAT, 2, tensor_content=b"1234567")), INVALID, PARSING),
    "a negative size": (_request("scale", x=_tensor(FLOAT, -1)), INVALID, PARSING),
    "no dtype": (_request("scale", x=tensor_pb2.TensorProto()), INVALID, PARSING),
    "a resource": (_request("scale", x=_tensor(types_pb2.DT_RESOURCE, 1)), INVALID, PARSING),
    "a tensor of a million million values": (
        _request("scale", x=_tensor(FLOAT, 10**12, float_val=[1])),
        INVALID,
        PARSING,
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_no_input_is_refused_in_the_official_words(asked: RunningServer, case: str) -> None:
    """Code and text, and the next request works."""
    request, code, text = REFUSALS[case]
    assert refusal(asked.predictions.Predict, request) == (code, text)
    assert asked.scale() == 3


def test_a_tensor_of_another_rank_or_size_is_refused_by_the_graph(asked: RunningServer) -> None:
    """A ragged batch has no form on the wire; what the graph does not take comes back with its words."""
    code, said = refusal(asked.predictions.Predict, _request("rows", x=ONE))
    assert code is INVALID
    assert "must be in the range" in said or "rank" in said.lower() or "reduction" in said.lower()
