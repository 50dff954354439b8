"""Every question on whichever version a request asks for, counted and timed as the official server does it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from roost.adapters.tf_messages import (
    classification_pb2,
    fill_packed_tensor,
    fill_tensor,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from serving.model_server.core import ServerCore
from serving.model_server.inference.ask import classify, multi_infer, regress
from serving.model_server.metadata import model_request
from serving.model_server.metrics import Metrics
from serving.model_server.predict import Fill, predict
from serving.model_server.servable import Servable
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError, invalid_argument
from serving.model_server.terms import Terms

_MICROSECONDS = 1e6

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
Ask = Callable[[Servable, RequestT, Terms], ResponseT]


class Predictor:
    """Answers request messages. Numbers come back in typed fields, or packed where so started."""

    def __init__(self, core: ServerCore, metrics: Metrics, *, packed: bool) -> None:
        self._core = core
        self._metrics = metrics
        fill: Fill = fill_packed_tensor if packed else fill_tensor
        self._predict: Ask[Any, Any] = partial(predict, fill=fill)

    def predict(self, request: predict_pb2.PredictRequest, timeout: float = math.inf) -> predict_pb2.PredictResponse:
        """Answer in tensors; `timeout` : seconds that the answer is waited for. Raises StatusError."""
        return self._answer("Predict", self._predict, request, timeout)

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout: float = math.inf
    ) -> classification_pb2.ClassificationResponse:
        """Answer examples in classes. Raises StatusError."""
        return self._answer("Classify", classify, request, timeout)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout: float = math.inf
    ) -> regression_pb2.RegressionResponse:
        """Answer examples in values. Raises StatusError."""
        return self._answer("Regress", regress, request, timeout)

    def multi_infer(
        self, request: inference_pb2.MultiInferenceRequest, timeout: float = math.inf
    ) -> inference_pb2.MultiInferenceResponse:
        """Answer examples by several signatures at once; it is not among the counted requests, as officially."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._core.servable(model_request(spec)) as servable:
            return multi_infer(servable, request, self.terms(spec.name, "MultiInference", timeout))

    @contextmanager
    def lent(self, model: ModelRequest) -> Iterator[Servable]:
        """Lend the version that a request asks for. Raises StatusError where there is none."""
        with self._core.servable(model) as servable:
            yield servable

    def terms(self, name: str, api: str, timeout: float) -> Terms:
        """Return how a request of a model is run."""
        return Terms(
            timeout=timeout,
            on_run=lambda seconds: self._metrics.runtime_latency.add(name, api, "TF1", value=seconds * _MICROSECONDS),
            on_examples=lambda count: self._count_examples(name, count),
        )

    def _count_examples(self, name: str, count: int) -> None:
        self._metrics.example_counts.add(name, value=count)
        self._metrics.example_count_total.add(name, amount=count)

    def _answer(self, api: str, ask: Ask[RequestT, ResponseT], request: Any, timeout: float) -> ResponseT:
        name = request.model_spec.name
        with self.counted(name, api, "GRPC"):
            if not request.HasField("model_spec"):
                raise invalid_argument("Missing ModelSpec")
            with self._core.servable(model_request(request.model_spec)) as servable:
                return ask(servable, request, self.terms(name, api, timeout))

    @contextmanager
    def counted(self, name: str, api: str, entrypoint: str) -> Iterator[None]:
        """Count a request by how it ends, and time one that ends well."""
        started = time.perf_counter()
        try:
            yield
        except StatusError as error:
            self._metrics.request_count.add(name, error.code.name)
            raise
        except Exception:
            self._metrics.request_count.add(name, Code.INTERNAL.name)
            raise
        self._metrics.request_count.add(name, Code.OK.name)
        elapsed = (time.perf_counter() - started) * _MICROSECONDS
        self._metrics.request_latency.add(name, api, entrypoint, value=elapsed)
