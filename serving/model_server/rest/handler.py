"""From a REST request to its answer, whatever carries them."""

import logging
import math
from dataclasses import dataclass

from roost.adapters.tf_messages import get_model_metadata_pb2, get_model_status_pb2, model_pb2
from serving.model_server.core import ServerCore
from serving.model_server.metadata import SIGNATURE_DEF, get_metadata, get_status
from serving.model_server.metrics import Metrics
from serving.model_server.predictor import Predictor
from serving.model_server.rest.answer import BAD_REQUEST, JSON, NOT_FOUND, NOT_IMPLEMENTED, TEXT, Answer
from serving.model_server.rest.json_answers import error_body, metadata_body, status_body
from serving.model_server.rest.paths import RestRequest, UnreadablePath, is_address, parse_path
from serving.model_server.rest.predictions import JsonPredictions
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import Code, StatusError, http_status

_LOG = logging.getLogger(__name__)
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions:
    """`metrics_path` empty: no metrics. `cors`: answers may be read by pages of any origin.

    `timeout`: seconds that a prediction is waited for.
    """

    metrics_path: str = ""
    cors: bool = False
    timeout: float = math.inf


class RestHandler:
    """Answers `/v1/…`, and the metrics page where it is switched on. Safe for many threads."""

    def __init__(self, core: ServerCore, predictor: Predictor, metrics: Metrics, options: RestOptions) -> None:
        self._core = core
        self._predictor = predictor
        self._predictions = JsonPredictions(predictor=predictor, timeout=options.timeout)
        self._metrics = metrics
        self._options = options

    def handle(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one request; every refusal is an answer too."""
        if method not in _METHODS or not is_address(path):
            return BAD_REQUEST if method in _METHODS else NOT_IMPLEMENTED
        if self._options.metrics_path and path.partition("?")[0] == self._options.metrics_path:
            return self._metrics_page(path)
        if not path.lower().startswith("/v1/"):
            return NOT_FOUND
        if method == "OPTIONS" and self._options.cors:
            return Answer(status=200, body=b"", headers={**JSON, **_CORS})
        answer = self._answer(method, path, body)
        if self._options.cors:
            return Answer(status=answer.status, body=answer.body, headers={**answer.headers, **_CORS})
        return answer

    def _metrics_page(self, path: str) -> Answer:
        if path != self._options.metrics_path:
            text = f"Unexpected path: {path}. Should be {self._options.metrics_path}"
            return Answer(status=400, body=text.encode("latin-1"), headers=TEXT)
        return Answer(status=200, body=self._metrics.page().encode(), headers=TEXT)

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        try:
            request = self._understood(method, path)
            # The official server counts a request by its path's action, and what is no prediction by none.
            with self._predictor.counted(request.model.name, request.action if method == "POST" else "", "REST"):
                return Answer(status=200, body=self._body(request, body))
        except UnreadablePath as error:
            return Answer(status=http_status(error.code), body=b"")
        except StatusError as error:
            return Answer(status=http_status(error.code), body=error_body(error))
        except Exception as error:  # noqa: BLE001  (it ends as this request's answer)
            # One request's surprise must not take the connection, let alone the server, with it.
            _LOG.exception("REST request failed: %s %s", method, path)
            failure = StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")
            return Answer(status=500, body=error_body(failure))

    def _understood(self, method: str, path: str) -> RestRequest:
        try:
            return parse_path(method, path)
        except StatusError as error:
            self._metrics.request_count.add("", error.code.name)
            raise

    def _body(self, request: RestRequest, body: bytes) -> bytes:
        spec = _spec(request.model)
        if request.action == "status":
            return status_body(get_status(self._core, get_model_status_pb2.GetModelStatusRequest(model_spec=spec)))
        if request.action == "metadata":
            asked = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
            return metadata_body(get_metadata(self._core, asked))
        return self._predictions.answer(request.action, request.model, body)


def _spec(model: ModelRequest) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=model.name)
    if model.version is not None:
        spec.version.value = model.version
    if model.label:
        spec.version_label = model.label
    return spec
