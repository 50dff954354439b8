"""Classify, Regress and MultiInference answer, and refuse, as TensorFlow Serving does, over gRPC and REST."""

from typing import Any

import grpc
import pytest

from roost.adapters.tf_messages import input_pb2
from tests.integration.model_server.inference.questions import (
    CLASSIFY,
    REGRESS,
    classification,
    examples,
    inference,
    refusal,
    regression,
)
from tests.integration.model_server.running import RunningServer

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

#: `value` is twice the age, plus 0 for a pilot, 1 for crew, minus 1 for any other job.
ROWS = [{"age": 1.5, "job": "crew"}, {"age": 3.0}]
GIVEN = examples(ROWS)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def classes(response: Any) -> list[list[tuple[str, float]]]:
    """Labels and scores."""
    return [[(one.label, one.score) for one in each.classes] for each in response.result.classifications]


def test_examples_are_classified_with_labels_and_scores(asked: RunningServer) -> None:
    """In the order of the graph's columns; the answer says model, signature and version."""
    response = asked.predictions.Classify(classification("", GIVEN), timeout=100)
    assert classes(response) == [[("high", 4.0), ("low", -4.0)], [("high", 5.0), ("low", -5.0)]]
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("census", "serving_default", 1)


def test_a_classifier_may_have_only_one_of_the_two(asked: RunningServer) -> None:
    """The other stays empty."""
    ask = asked.predictions.Classify
    assert classes(ask(classification("classes", GIVEN), timeout=100))[0] == [("high", 0.0), ("low", 0.0)]
    assert classes(ask(classification("scores", GIVEN), timeout=100))[0] == [("", 4.0), ("", -4.0)]


@pytest.mark.parametrize("signature", ["regress", "regress_flat"])
def test_examples_are_regressed(asked: RunningServer, signature: str) -> None:
    """One value each, from a column or a vector."""
    response = asked.predictions.Regress(regression(signature, GIVEN), timeout=100)
    assert [each.value for each in response.result.regressions] == [4.0, 5.0]
    assert response.model_spec.signature_name == signature


def test_a_context_is_common_to_all_examples_and_an_example_s_own_feature_wins(asked: RunningServer) -> None:
    """The graph sees the two merged."""
    given = examples([{"age": 1.0}, {"age": 1.0, "job": "pilot"}], context={"job": "crew"})
    response = asked.predictions.Regress(regression("regress", given), timeout=100)
    assert [each.value for each in response.result.regressions] == [3.0, 2.0]


def test_several_signatures_are_answered_by_one_request(asked: RunningServer) -> None:
    """Each by its own method, in the order asked."""
    request = inference(GIVEN, ("regress", REGRESS), ("", CLASSIFY), ("scores", CLASSIFY))
    results = asked.predictions.MultiInference(request, timeout=100).results
    assert [each.value for each in results[0].regression_result.regressions] == [4.0, 5.0]
    assert results[1].classification_result.classifications[1].classes[1].label == "low"
    assert results[2].classification_result.classifications[0].classes[0].score == 4.0
    specs = [(each.model_spec.name, each.model_spec.signature_name, each.model_spec.version.value) for each in results]
    assert specs == [("census", "regress", 1), ("census", "serving_default", 1), ("census", "scores", 1)]


def test_native_exports_are_asked_in_examples_too(asked: RunningServer) -> None:
    """TF2 gives every signature the method name of Predict, which is not looked at unless asked."""
    given = examples([{"age": 2.0}])
    assert classes(asked.predictions.Classify(classification("", given, "native"), timeout=100)) == [
        [("", 2.0), ("", -2.0)]
    ]
    response = asked.predictions.Regress(regression("regress", given, "native"), timeout=100)
    assert [each.value for each in response.result.regressions] == [2.0]


def _unsaid(request: Any) -> Any:
    request.ClearField("model_spec")
    return request


CLASSIFY_REFUSALS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no model spec": (_unsaid(classification("", GIVEN)), INVALID, "Missing ModelSpec"),
    "unknown model": (
        classification("", GIVEN, "nobody"),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    ),
    "unknown signature": (classification("s", GIVEN), INVALID, "No signature was found with the name: s"),
    "no example": (classification("", examples([])), INVALID, "Input is empty."),
    "no input": (classification("", input_pb2.Input()), INVALID, "Input is empty."),
    "two inputs": (classification("two_inputs", GIVEN), INVALID, "Expected one input Tensor."),
    "three outputs": (
        classification("three_outputs", GIVEN),
        INVALID,
        "Expected one or two output Tensors, found 3",
    ),
    "another input": (
        classification("other_input_name", GIVEN),
        INVALID,
        "No classification inputs found in SignatureDef: inputs {",
    ),
    "other outputs": (
        classification("other_output_name", GIVEN),
        INVALID,
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: ',
    ),
    "a vector of scores": (
        classification("flat_scores", GIVEN),
        INVALID,
        "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ),
    "double scores": (
        classification("double_scores", GIVEN),
        INVALID,
        "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
    ),
    "classes that are numbers": (
        classification("float_classes", GIVEN),
        INVALID,
        "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
    ),
    "too few scores": (
        classification("few_scores", GIVEN),
        INVALID,
        "Expected scores output batch size of 2. Got: 1",
    ),
    "uneven": (
        classification("uneven", GIVEN),
        INVALID,
        "Tensors class and score should match in dim_size(1). Got 1 vs. 2",
    ),
    "an example that does not parse": (
        classification("", examples([{"age": "text"}])),
        INVALID,
        "Data types don't match",
    ),
}


@pytest.mark.parametrize("case", CLASSIFY_REFUSALS)
def test_what_cannot_be_classified_is_refused_in_the_official_words(asked: RunningServer, case: str) -> None:
    """Code and text, as far as the text is not the graph's own."""
    request, code, text = CLASSIFY_REFUSALS[case]
    got, said = refusal(asked.predictions.Classify, request)
    assert got is code
    assert said == text or (text in said and said != text and case in _OPEN_ENDED)


_OPEN_ENDED = {"another input", "other outputs", "an example that does not parse"}

REGRESS_REFUSALS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no model spec": (_unsaid(regression("regress", GIVEN)), INVALID, "Missing ModelSpec"),
    "unknown signature": (regression("s", GIVEN), INVALID, "No signature was found with the name: s"),
    "no example": (regression("regress", examples([])), INVALID, "Input is empty."),
    "two outputs": (regression("regress_two_outputs", GIVEN), INVALID, "Expected one output Tensor."),
    "two inputs": (regression("two_inputs", GIVEN), INVALID, "Expected one input Tensor."),
    "a matrix": (
        regression("regress_wide", GIVEN),
        INVALID,
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
    ),
    "too few": (
        regression("regress_few", GIVEN),
        INVALID,
        "Input batch size did not match output batch size: 2 vs. 1",
    ),
    "labels": (
        regression("regress_labels", GIVEN),
        INVALID,
        "Expected output Tensor of DT_FLOAT.  Got: DT_STRING",
    ),
}


@pytest.mark.parametrize("case", REGRESS_REFUSALS)
def test_what_cannot_be_regressed_is_refused_in_the_official_words(asked: RunningServer, case: str) -> None:
    """Code and text."""
    request, code, text = REGRESS_REFUSALS[case]
    assert refusal(asked.predictions.Regress, request) == (code, text)


def test_a_regression_of_another_output_is_refused_with_its_signature(asked: RunningServer) -> None:
    """The signature's own text follows."""
    code, said = refusal(asked.predictions.Regress, regression("regress_other_name", GIVEN))
    assert code is INVALID
    assert said.startswith("No regression outputs found in SignatureDef: inputs {")


MULTI_REFUSALS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no task": (inference(GIVEN), INVALID, "ModelSpec has no name specified."),
    "a task without a name": (
        inference(GIVEN, ("regress", REGRESS), ("", CLASSIFY), models=["census", ""]),
        INVALID,
        "Found ModelSpec with an empty model name.",
    ),
    "two models": (
        inference(GIVEN, ("regress", REGRESS), ("", CLASSIFY), models=["census", "native"]),
        INVALID,
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    "a signature twice": (
        inference(GIVEN, ("", CLASSIFY), ("serving_default", CLASSIFY)),
        INVALID,
        "Duplicate evaluation of signature: serving_default",
    ),
    "unknown signature": (
        inference(GIVEN, ("s", CLASSIFY)),
        INVALID,
        "Requested signature not found in model graph: s",
    ),
    "unknown method": (
        inference(GIVEN, ("", "tensorflow/serving/predict")),
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    "two inputs": (
        inference(GIVEN, ("regress", REGRESS), ("regress_other_input", REGRESS)),
        INVALID,
        "Input tensor must be the same for all Signatures.",
    ),
    "no example": (inference(examples([]), ("", CLASSIFY)), INVALID, "Input is empty."),
}


@pytest.mark.parametrize("case", MULTI_REFUSALS)
def test_what_cannot_be_inferred_together_is_refused_in_the_official_words(asked: RunningServer, case: str) -> None:
    """Code and text."""
    request, code, text = MULTI_REFUSALS[case]
    assert refusal(asked.predictions.MultiInference, request) == (code, text)
