"""Predict over gRPC answers, and refuses, as TensorFlow Serving does."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from roost.adapters.tf_messages import array_from_tensor, tensor_from_array
from tests.integration.model_server.running import RunningServer, predict_request

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ONE = np.array([1.0], np.float32)


def test_the_latest_version_answers_and_says_which_it_is(shared: RunningServer) -> None:
    """Without version or label the highest number answers; the response names model, signature and version."""
    response = shared.predict("scale", {"x": np.array([1, 2], np.float32)})
    assert list(response.outputs["y"].float_val) == [3.0, 6.0]
    assert response.model_spec.name == "scale"
    assert response.model_spec.signature_name == "serving_default"
    assert response.model_spec.version.value == 3


@pytest.mark.parametrize(
    ("spec", "factor"), [({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1), ({"label": "canary"}, 2)]
)
def test_a_request_may_name_a_version_or_a_label(shared: RunningServer, spec: dict[str, Any], factor: float) -> None:
    """Both reach exactly that version."""
    assert shared.scale(**spec) == factor


def test_every_dtype_comes_back_as_it_went(shared: RunningServer) -> None:
    """Numbers, booleans and strings, each in its typed field and of its shape."""
    inputs = {
        "double": np.array([[1.5, -2.25], [float("nan"), float("inf")]]),
        "int32": np.array([-(2**31), 2**31 - 1], np.int32),
        "int64": np.array([-(2**63), 2**63 - 1], np.int64),
        "uint8": np.array([0, 255], np.uint8),
        "flag": np.array([True, False]),
        "text": np.array(["Zürich".encode(), b""], object),
        "blob": np.array([b"\x00\xff", b"x"], object),
    }
    response = shared.predict("echo", inputs)
    for alias, sent in inputs.items():
        output = response.outputs["blob_bytes" if alias == "blob" else alias]
        assert not output.tensor_content
        back = array_from_tensor(output)
        assert back.dtype == sent.dtype
        np.testing.assert_array_equal(back, sent)


def test_a_keras_export_with_string_lookup_gives_kerass_own_answer(shared: RunningServer, saved_models: Path) -> None:
    """Tables are initialised; an unknown carrier is out of vocabulary."""
    inputs = {"carrier": [["UA"], ["ZZ"]], "hour": np.array([[6.0], [18.0]], np.float32)}
    output = shared.predict("keras", inputs).outputs["output_0"]
    np.testing.assert_allclose(array_from_tensor(output), np.load(saved_models / "keras" / "expected.npy"), rtol=1e-6)


def test_a_table_filled_from_an_asset_is_filled(shared: RunningServer) -> None:
    """The asset's path is that of the loaded directory, not that of the training machine."""
    response = shared.predict("words", {"word": ["beta", "alpha", "gamma"]})
    assert list(response.outputs["index"].int64_val) == [1, 0, -1]


def test_loops_inside_the_graph_run_to_their_end(shared: RunningServer) -> None:
    """Control flow works in the request's own thread."""
    response = shared.predict("odd", {"x": np.array([1.0, 3.0, 200.0], np.float32)}, signature="loop")
    assert list(response.outputs["y"].float_val) == [128.0, 192.0, 200.0]


def test_the_output_filter_chooses_what_comes_back(shared: RunningServer) -> None:
    """Only what is named, whatever else the signature has."""
    request = predict_request("scale", {"x": ONE}, signature="both", version=2)
    assert set(shared.predictions.Predict(request, timeout=100).outputs) == {"y", "negative"}
    request.output_filter.append("negative")
    response = shared.predictions.Predict(request, timeout=100)
    assert set(response.outputs) == {"negative"}
    assert list(response.outputs["negative"].float_val) == [-2.0]


def _filtered(*outputs: str) -> Any:
    request = predict_request("scale", {"x": ONE}, signature="both")
    request.output_filter.extend(outputs)
    return request


def _without_spec() -> Any:
    request = predict_request("scale", {"x": ONE})
    request.ClearField("model_spec")
    return request


def _damaged() -> Any:
    request = predict_request("scale", {"x": ONE})
    request.inputs["x"].tensor_content = b"123"
    return request


REFUSALS = {
    "no model spec": (_without_spec(), grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no name": (predict_request("", {"x": ONE}), grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    "unknown model": (
        predict_request("nobody", {"x": ONE}),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    ),
    "unknown version": (
        predict_request("scale", {"x": ONE}, version=9),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(scale, 9)",
    ),
    "version zero": (
        predict_request("scale", {"x": ONE}, version=0),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(scale, 0)",
    ),
    "unknown label": (
        predict_request("scale", {"x": ONE}, label="beta"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: beta",
    ),
    "unknown signature": (
        predict_request("scale", {"x": ONE}, signature="s"),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "s" not found.',
    ),
    "missing input": (
        predict_request("scale", {}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    "extra input": (
        predict_request("scale", {"x": ONE, "z": ONE}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. Missing but required: {}.",
    ),
    "unknown output": (
        _filtered("loss"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "output tensor alias not found in signature: loss Outputs expected to be in the set {negative,y}.",
    ),
    "output twice": (_filtered("y", "y"), grpc.StatusCode.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
    "damaged tensor": (_damaged(), grpc.StatusCode.INVALID_ARGUMENT, "tensor parsing error: x"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_request_that_cannot_be_answered_is_refused_in_the_official_words(shared: RunningServer, case: str) -> None:
    """Code and text are the same, so that a client written for one server understands the other."""
    request, code, text = REFUSALS[case]
    with pytest.raises(grpc.RpcError) as refused:
        shared.predictions.Predict(request, timeout=100)
    assert refused.value.code() is code
    assert refused.value.details() == text


def test_a_wrong_input_name_is_refused_by_name(shared: RunningServer) -> None:
    """As many inputs as expected, but not those."""
    with pytest.raises(grpc.RpcError) as refused:
        shared.predict("scale", {"q": ONE})
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "q" in refused.value.details()


@pytest.mark.parametrize(
    ("model", "signature", "value", "needle"),
    [
        ("scale", "", np.array([b"a"], object), "to be float but string"),
        ("odd", "divide", np.array([0.0], np.float32), "zero"),
    ],
)
def test_what_the_graph_itself_refuses_comes_back_with_its_code(
    shared: RunningServer, model: str, signature: str, value: Any, needle: str
) -> None:
    """A wrong dtype, or an error while it runs, is INVALID_ARGUMENT, and the server goes on."""
    with pytest.raises(grpc.RpcError) as refused:
        shared.predict(model, {"x": value}, signature=signature)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert needle in refused.value.details()
    assert shared.scale() == 3


def test_a_large_tensor_passes(shared: RunningServer) -> None:
    """More than gRPC's usual limit of 4 MB, both ways."""
    values = np.arange(3_000_000, dtype=np.float32)
    request = predict_request("scale", {}, version=2)
    request.inputs["x"].CopyFrom(tensor_from_array(values))
    np.testing.assert_array_equal(array_from_tensor(_unlimited(shared, request).outputs["y"]), values * 2)


def _unlimited(shared: RunningServer, request: Any) -> Any:
    from roost.adapters import tf_messages

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"unix:{shared.socket_path}", options=options) as channel:
        return tf_messages.prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
