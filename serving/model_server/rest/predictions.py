"""Predictions by REST: a JSON body to a JSON body, on the version that the path names."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from roost.adapters.tf_messages import classification_pb2, regression_pb2
from serving.model_server.inference.ask import classify, regress
from serving.model_server.predict import check_method_name, size_error
from serving.model_server.predictor import Predictor
from serving.model_server.rest.json_answers import (
    classifications_body,
    outputs_body,
    predictions_body,
    regressions_body,
)
from serving.model_server.rest.json_examples import read_examples
from serving.model_server.rest.json_reader import parse_json
from serving.model_server.rest.json_requests import read_predict
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable, Signature
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError, invalid_argument


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonPredictions:
    """Answers the three actions of the REST API. `timeout`: seconds that an answer is waited for."""

    predictor: Predictor
    timeout: float

    def answer(self, action: str, model: ModelRequest, body: bytes) -> bytes:
        """Answer a body; the action is `predict`, `classify` or `regress`. Raises StatusError."""
        return _ANSWERS[action](self, model, body)

    def _predict(self, model: ModelRequest, body: bytes) -> bytes:
        document = parse_json(body)
        with self.predictor.lent(model) as servable:
            asked = read_predict(document, lambda name: _signature(servable, name).inputs)
            signature = servable.signature(asked.signature_name)
            check_method_name(servable, signature)
            if asked.inputs.keys() != signature.inputs.keys():
                raise size_error(set(asked.inputs), set(signature.inputs))
            terms = self.predictor.terms(model.name, "Predict", self.timeout)
            started = time.perf_counter()
            outputs = signature.run([asked.inputs[alias] for alias in signature.inputs], (), self.timeout)
            terms.on_run(time.perf_counter() - started)
        return predictions_body(outputs) if asked.by_row else outputs_body(outputs)

    def _classify(self, model: ModelRequest, body: bytes) -> bytes:
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name = model.name
        request.model_spec.signature_name, given = read_examples(parse_json(body))
        request.input.CopyFrom(given)
        with self.predictor.lent(model) as servable:
            response = classify(servable, request, self.predictor.terms(model.name, "Classify", self.timeout))
        return classifications_body(response.result)

    def _regress(self, model: ModelRequest, body: bytes) -> bytes:
        request = regression_pb2.RegressionRequest()
        request.model_spec.name = model.name
        request.model_spec.signature_name, given = read_examples(parse_json(body))
        request.input.CopyFrom(given)
        with self.predictor.lent(model) as servable:
            response = regress(servable, request, self.predictor.terms(model.name, "Regress", self.timeout))
        return regressions_body(response.result)


_ANSWERS: dict[str, Callable[[JsonPredictions, ModelRequest, bytes], bytes]] = {
    "predict": JsonPredictions._predict,  # noqa: SLF001  (its own)
    "classify": JsonPredictions._classify,  # noqa: SLF001
    "regress": JsonPredictions._regress,  # noqa: SLF001
}


def _signature(servable: Servable, name: str) -> Signature:
    try:
        return servable.signature(name)
    except StatusError as error:
        # REST looks the signature up earlier than gRPC does, and refuses it in other words.
        if error.code is not Code.FAILED_PRECONDITION:
            raise
        raise invalid_argument(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
        ) from error
