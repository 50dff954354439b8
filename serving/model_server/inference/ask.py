"""Classify, Regress and MultiInference on one loaded version."""

import time
from typing import Any

from roost.adapters.tf_messages import (
    Array,
    classification_pb2,
    inference_pb2,
    meta_graph_pb2,
    model_pb2,
    regression_pb2,
)
from serving.model_server.inference.examples import serialized_examples
from serving.model_server.inference.results import classification_result, regression_result
from serving.model_server.inference.signatures import CLASSIFY, REGRESS, Tensors, for_classification, for_regression
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable
from serving.model_server.statuses import Code, StatusError, invalid_argument
from serving.model_server.terms import Terms


def classify(
    servable: Servable, request: classification_pb2.ClassificationRequest, terms: Terms
) -> classification_pb2.ClassificationResponse:
    """Answer a request in classes. Raises StatusError, the official text in it."""
    tensors = for_classification(_definition(servable, request.model_spec), check_name=servable.checks_method_names)
    response = classification_pb2.ClassificationResponse()
    fill_spec(response.model_spec, request.model_spec, servable)
    outputs, examples = _run(servable, request.input, tensors, terms)
    response.result.CopyFrom(classification_result(outputs, examples))
    return response


def regress(
    servable: Servable, request: regression_pb2.RegressionRequest, terms: Terms
) -> regression_pb2.RegressionResponse:
    """Answer a request in values. Raises StatusError, the official text in it."""
    tensors = for_regression(_definition(servable, request.model_spec), check_name=servable.checks_method_names)
    response = regression_pb2.RegressionResponse()
    fill_spec(response.model_spec, request.model_spec, servable)
    outputs, examples = _run(servable, request.input, tensors, terms)
    response.result.CopyFrom(regression_result(outputs, examples))
    return response


def multi_infer(
    servable: Servable, request: inference_pb2.MultiInferenceRequest, terms: Terms
) -> inference_pb2.MultiInferenceResponse:
    """Answer several signatures of one model (one task at least) by one run. Raises StatusError, its official text."""
    tasks = _tasks(servable, request)
    fetched = {name: name for tensors in tasks for name in tensors.fetched.values()}
    outputs, examples = _run(servable, request.input, Tensors(examples=tasks[0].examples, fetched=fetched), terms)
    response = inference_pb2.MultiInferenceResponse()
    for task, tensors in zip(request.tasks, tasks, strict=True):
        result = response.results.add()
        found = {alias: outputs[name] for alias, name in tensors.fetched.items()}
        if task.method_name == CLASSIFY:
            result.classification_result.CopyFrom(classification_result(found, examples))
        else:
            result.regression_result.CopyFrom(regression_result(found, examples))
        fill_spec(result.model_spec, task.model_spec, servable)
    return response


def fill_spec(spec: model_pb2.ModelSpec, asked: model_pb2.ModelSpec, servable: Servable) -> None:
    """Say in a response who answered: the name as asked, the signature, the version."""
    spec.name = asked.name
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    spec.version.value = servable.version


def _definition(servable: Servable, spec: model_pb2.ModelSpec) -> meta_graph_pb2.SignatureDef:
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signature_defs:
        raise invalid_argument(f"No signature was found with the name: {name}")
    return servable.signature_defs[name]


def _run(servable: Servable, given: Any, tensors: Tensors, terms: Terms) -> tuple[dict[str, Array], int]:
    """Return the fetched tensors by alias, and the number of examples."""
    examples = serialized_examples(given)
    terms.on_examples(len(examples))
    run = servable.prepared((tensors.examples,), tuple(tensors.fetched.values()))
    started = time.perf_counter()
    values = run([examples], terms.timeout)
    terms.on_run(time.perf_counter() - started)
    return dict(zip(tensors.fetched, values, strict=True)), len(examples)


def _tasks(servable: Servable, request: inference_pb2.MultiInferenceRequest) -> list[Tensors]:
    """Return each task's tensors. Tasks must be of one model and one input, and of different signatures."""
    found: list[Tensors] = []
    signatures: set[str] = set()
    for task in request.tasks:
        spec = task.model_spec
        if not spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signatures.add(name)
        tensors = _task_tensors(servable, name, task.method_name)
        if found and tensors.examples != found[0].examples:
            raise invalid_argument("Input tensor must be the same for all Signatures.")
        found.append(tensors)
    return found


def _task_tensors(servable: Servable, signature: str, method: str) -> Tensors:
    definition = servable.signature_defs.get(signature)
    if definition is None:
        raise invalid_argument(f"Requested signature not found in model graph: {signature}")
    if method == CLASSIFY:
        return for_classification(definition, check_name=servable.checks_method_names)
    if method == REGRESS:
        return for_regression(definition, check_name=servable.checks_method_names)
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
