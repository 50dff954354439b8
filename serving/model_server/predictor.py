"""Predict on whichever version a request asks for, counted and timed as the official server does it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from roost.adapters.tf_messages import packed_tensor_from_array, predict_pb2, tensor_from_array
from serving.model_server.core import ServerCore
from serving.model_server.metadata import model_request
from serving.model_server.metrics import Metrics
from serving.model_server.predict import Serialize, predict
from serving.model_server.rest.json_answers import outputs_body, predictions_body
from serving.model_server.rest.json_requests import parse_json, read_predict
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable, Signature
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError, invalid_argument

_MICROSECONDS = 1e6


class Predictor:
    """Answers predictions for gRPC and REST. Over gRPC numbers are in typed fields, or packed where so started."""

    def __init__(self, core: ServerCore, metrics: Metrics, *, packed: bool) -> None:
        self._core = core
        self._metrics = metrics
        self._serialize: Serialize = packed_tensor_from_array if packed else tensor_from_array

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answer a request message. Raises StatusError."""
        name = request.model_spec.name
        with self._counted(name, "GRPC"):
            if not request.HasField("model_spec"):
                raise invalid_argument("Missing ModelSpec")
            with self._core.servable(model_request(request.model_spec)) as servable:
                return predict(servable, request, self._serialize, self._run_timer(name))

    def predict_json(self, model: ModelRequest, body: bytes) -> bytes:
        """Answer a REST body by a REST body. Raises StatusError."""
        with self._counted(model.name, "REST"):
            document = parse_json(body)
            with self._core.servable(model) as servable:
                asked = read_predict(document, lambda name: _rest_signature(servable, name).inputs)
                signature = servable.signature(asked.signature_name)
                started = time.perf_counter()
                outputs = signature.run([asked.inputs[alias] for alias in signature.inputs], ())
                self._run_timer(model.name)(time.perf_counter() - started)
            return predictions_body(outputs) if asked.by_row else outputs_body(outputs)

    @contextmanager
    def _counted(self, name: str, entrypoint: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except StatusError as error:
            self._metrics.request_count.add(name, error.code.name)
            raise
        self._metrics.request_count.add(name, Code.OK.name)
        elapsed = (time.perf_counter() - started) * _MICROSECONDS
        self._metrics.request_latency.add(name, "Predict", entrypoint, value=elapsed)

    def _run_timer(self, name: str) -> Callable[[float], None]:
        def on_run(seconds: float) -> None:
            self._metrics.runtime_latency.add(name, "Predict", "TF1", value=seconds * _MICROSECONDS)

        return on_run


def _rest_signature(servable: Servable, name: str) -> Signature:
    try:
        return servable.signature(name)
    except StatusError as error:
        # REST looks the signature up earlier than gRPC does, and refuses it in other words.
        if error.code is not Code.FAILED_PRECONDITION:
            raise
        raise invalid_argument(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
        ) from error
