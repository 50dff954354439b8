"""Predict on whichever version a request asks for, counted and timed as the official server does it."""

import time
from typing import Any

from roost.adapters.tf_messages import packed_tensor_from_array, predict_pb2, tensor_from_array
from serving.model_server.core import ServerCore
from serving.model_server.metadata import model_request
from serving.model_server.metrics import Metrics
from serving.model_server.predict import Serialize, predict
from serving.model_server.statuses import Code, StatusError, invalid_argument

_MICROSECONDS = 1e6


class Predictor:
    """Answers Predict for gRPC, with numbers in typed fields, or packed where the server was started so."""

    def __init__(self, core: ServerCore, metrics: Metrics, *, packed: bool) -> None:
        self._core = core
        self._metrics = metrics
        self._serialize: Serialize = packed_tensor_from_array if packed else tensor_from_array

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Answer one request. Raises StatusError."""
        started = time.perf_counter()
        name = request.model_spec.name
        try:
            response = self._predict(request, name)
        except StatusError as error:
            self._metrics.request_count.add(name, error.code.name)
            raise
        self._metrics.request_count.add(name, Code.OK.name)
        elapsed = (time.perf_counter() - started) * _MICROSECONDS
        self._metrics.request_latency.add(name, "Predict", "GRPC", value=elapsed)
        return response

    def _predict(self, request: predict_pb2.PredictRequest, name: str) -> Any:
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")

        def on_run(seconds: float) -> None:
            self._metrics.runtime_latency.add(name, "Predict", "TF1", value=seconds * _MICROSECONDS)

        with self._core.servable(model_request(request.model_spec)) as servable:
            return predict(servable, request, self._serialize, on_run)
