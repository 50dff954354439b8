"""The REST forms of tensors, without a model and without TensorFlow."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roost.adapters.tf_messages import meta_graph_pb2, types_pb2
from serving.model_server.rest.http_requests import MOST_HEAD, Refused, RequestParser
from serving.model_server.rest.json_answers import outputs_body, predictions_body
from serving.model_server.rest.json_reader import parse_json
from serving.model_server.rest.json_requests import PredictBody, read_predict
from serving.model_server.rest.json_values import array_of
from serving.model_server.rest.paths import parse_path
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError

FLOAT, STRING = types_pb2.DT_FLOAT, types_pb2.DT_STRING


def read(document: Any, **inputs: int) -> PredictBody:
    """Read a predict request for a signature with these inputs."""
    infos = {name: meta_graph_pb2.TensorInfo(dtype=dtype) for name, dtype in inputs.items()}
    return read_predict(parse_json(json.dumps(document).encode()), lambda _: infos)


def test_rows_of_several_inputs_become_batches() -> None:
    """Each input's values stacked in the order of the rows."""
    rows = [{"a": [1, 2], "b": "x"}, {"b": {"b64": "/w=="}, "a": [3.5, 4]}]
    body = read({"signature_name": "s", "instances": rows}, a=FLOAT, b=STRING)
    assert body.by_row
    assert body.signature_name == "s"
    assert body.inputs["a"].tolist() == [[1, 2], [3.5, 4]]
    assert body.inputs["b"].tolist() == [b"x", b"\xff"]


def test_one_input_needs_no_name() -> None:
    """In both forms; a b64 object is a value, not a name."""
    assert read({"instances": [[1], [2]]}, a=FLOAT).inputs["a"].shape == (2, 1)
    assert read({"instances": [{"b64": "YQ=="}]}, a=STRING).inputs["a"].tolist() == [b"a"]
    assert read({"inputs": {"b64": "YQ=="}}, a=STRING).inputs["a"].shape == ()
    assert read({"inputs": 3}, a=FLOAT).inputs["a"].shape == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("YWJj", b"abc"),
        ("YW\n Jj\r\n", b"abc"),
        ("YQ", b"a"),
        ("YQ==", b"a"),
        ("YQ..", b"a"),
        ("", b""),
        ("YQ=", None),
        ("Y", None),
        ("Y=Q=", None),
        ("_-8=", None),
        ("ü", None),
    ],
)
def test_base64_is_read_as_the_official_library_reads_it(text: str, value: bytes | None) -> None:
    """Regression: lines as mail breaks them were refused; the alphabet for addresses was read."""
    if value is not None:
        assert read({"inputs": {"b64": text}}, a=STRING).inputs["a"] == value
        return
    with pytest.raises(StatusError, match="Unable to base64 decode"):
        read({"inputs": {"b64": text}}, a=STRING)


@pytest.mark.parametrize(
    ("document", "inputs", "message"),
    [
        ({"instances": [1]}, {"a": FLOAT, "b": FLOAT}, "instances is a plain list, but expecting list of objects"),
        ({"inputs": [1]}, {"a": FLOAT, "b": FLOAT}, "inputs is a plain value/list, but expecting an object"),
        ({"instances": [{"a": 1}]}, {"a": FLOAT, "b": FLOAT}, "keys must be equal to: a,b"),
        ({"instances": [{"a": 1}, 2]}, {"a": FLOAT}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [1, {"a": 2}]}, {"a": FLOAT}, "Expecting value/list but got object at item 1 of input list"),
        ({"instances": [[[1, 2]], [[1], [2]]]}, {"a": FLOAT}, "Expecting shape [1,2] but got: [2,1]"),
        ({"inputs": [1, [2]]}, {"a": FLOAT}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": [[1], 2]}, {"a": FLOAT}, "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ({"inputs": None}, {"a": FLOAT}, "JSON Value: null Type: Null is not of expected type: float"),
        ({"inputs": 1}, {}, "Failed to get input map for signature: DEFAULT"),
        ({"signature_name": 1, "inputs": 1}, {"a": FLOAT}, "'signature_name' key must be a string value."),
        ({"inputs": 1.5}, {"a": types_pb2.DT_INT32}, "Type: Number is not of expected type: int32"),
        ({"inputs": 2**31}, {"a": types_pb2.DT_INT32}, "is not of expected type: int32"),
        ({"inputs": 2**31}, {"a": types_pb2.DT_UINT8}, "is not of expected type: uint8"),
        ({"inputs": 1}, {"a": types_pb2.DT_BOOL}, "is not of expected type: bool"),
        ({"inputs": True}, {"a": types_pb2.DT_INT64}, "Type: True is not of expected type: int64"),
        ({"inputs": 1e39}, {"a": FLOAT}, "to float without loss of precision."),
        ({"inputs": 2**53}, {"a": types_pb2.DT_DOUBLE}, "to double without loss of precision."),
        ({"inputs": 1}, {"a": STRING}, "is not of expected type: string"),
        ({"inputs": {"a": {"b65": ""}}}, {"a": STRING}, "not formatted correctly for base64 data"),
    ],
)
def test_a_body_that_does_not_fit_the_signature_is_refused(document: Any, inputs: dict[str, int], message: str) -> None:
    """INVALID_ARGUMENT with the official text."""
    with pytest.raises(StatusError) as refused:
        read(document, **inputs)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert message in refused.value.message


def test_a_dtype_that_json_cannot_carry_is_unimplemented() -> None:
    """Complex numbers, for one."""
    with pytest.raises(StatusError) as refused:
        read({"inputs": 1}, a=types_pb2.DT_COMPLEX64)
    assert refused.value.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a": 1} x', b"[" * 100_000, b"1" * 10_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """However it is broken."""
    with pytest.raises(StatusError) as refused:
        parse_json(body)
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_numbers_that_are_none_are_read() -> None:
    """NaN and Infinity, which JSON has not but the official server takes."""
    value = array_of(parse_json(b'{"x": [NaN, -Infinity, 1]}')["x"], FLOAT)
    assert np.isnan(value[0])
    assert value[1:].tolist() == [-np.inf, 1.0]


SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_any_float_array_comes_back_from_its_json(array: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """Row and column form, to the last bit, NaN and Infinity included."""
    columns = json.loads(outputs_body({"y": array}))["outputs"]
    np.testing.assert_array_equal(np.array(columns, np.float32), array)
    rows = json.loads(predictions_body({"y": array, "z": array}))["predictions"]
    np.testing.assert_array_equal(np.array([row["z"] for row in rows], np.float32), array)


def test_numbers_that_lose_nothing_are_read_and_narrow_ones_cut() -> None:
    """Beyond 64 bits an integer is a double, and then fits a float; 300 is 44 in eight bits, as officially."""
    assert read({"inputs": 10**20}, a=FLOAT).inputs["a"] == np.float32(1e20)
    assert read({"inputs": [300, -1]}, a=types_pb2.DT_UINT8).inputs["a"].tolist() == [44, 255]


def test_answers_that_have_no_row_form_are_refused() -> None:
    """No batch, or batches of different sizes."""
    with pytest.raises(StatusError, match="Tensor name: y has no shape information"):
        predictions_body({"y": np.array(1.0)})
    with pytest.raises(StatusError, match="Tensor name: b has inconsistent batch size: 2 expecting: 1"):
        predictions_body({"a": np.zeros(1), "b": np.zeros(2)})


@pytest.mark.parametrize(
    ("method", "path", "action", "model"),
    [
        ("POST", "/v1/models/a.b:predict", "predict", ModelRequest(name="a.b")),
        ("POST", "/v1/models/m/versions/7:classify", "classify", ModelRequest(name="m", version=7)),
        ("POST", "/V1/Models/m/LABELS/stable:regress", "regress", ModelRequest(name="m", label="stable")),
        ("GET", "/v1/models/m/METADATA", "status", ModelRequest(name="m")),
        ("GET", "/v1/models/m%ff", "status", ModelRequest(name="m\N{REPLACEMENT CHARACTER}")),
        ("GET", "/v1/models/m", "status", ModelRequest(name="m")),
        ("GET", "/v1/models/m%2Fn/versions/0", "status", ModelRequest(name="m/n", version=0)),
        ("GET", "/v1/models/m/labels/l/metadata", "metadata", ModelRequest(name="m", label="l")),
    ],
)
def test_a_path_is_understood(method: str, path: str, action: str, model: ModelRequest) -> None:
    """Without regard to case in its fixed parts but the last, names unquoted."""
    request = parse_path(method, path)
    assert (request.action, request.model) == (action, model)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/models/m/versions/x"),
        ("POST", "/v1/models/m"),
        ("DELETE", "/v1/models/m"),
        ("POST", "/v1/models/m:Predict"),
    ],
)
def test_a_path_that_is_none_of_these_is_refused(method: str, path: str) -> None:
    """INVALID_ARGUMENT, whatever it is."""
    with pytest.raises(StatusError) as refused:
        parse_path(method, path)
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_request_may_come_in_any_pieces() -> None:
    """Byte by byte is the same as at once."""
    wire = b"POST /v1/models/m:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    parser = RequestParser(lambda: None)
    for byte in wire:
        parser.feed(bytes([byte]))
    (request,) = parser.complete
    assert (request.method, request.url, b"".join(request.chunks)) == ("POST", b"/v1/models/m:predict", b"hello")
    assert request.keep_alive


def test_an_endless_head_is_refused_while_it_comes() -> None:
    """431, without reading on; a body may be of any length."""
    parser = RequestParser(lambda: None)
    parser.feed(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n")
    assert parser.current is not None
    with pytest.raises(Refused) as refused:
        RequestParser(lambda: None).feed(b"GET / HTTP/1.1\r\nx-long: " + b"a" * MOST_HEAD + b"\r\n\r\n")
    assert refused.value.status == 431
