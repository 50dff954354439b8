"""ModelService over gRPC: states of versions, and the reload of the whole list."""

import logging
from typing import Any

import grpc

from roost.adapters.tf_messages import model_management_pb2, model_service_pb2_grpc
from serving.model_server.core import ServerCore
from serving.model_server.grpc_errors import abort, answer
from serving.model_server.metadata import get_status
from serving.model_server.metrics import Metrics
from serving.model_server.statuses import Code, StatusError, invalid_argument

_LOG = logging.getLogger(__name__)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]  # generated, untyped
    """States of versions, and the reload of the whole list."""

    def __init__(self, core: ServerCore, metrics: Metrics) -> None:
        """Answer from this core."""
        self._core = core
        self._metrics = metrics

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Tell the states of a model's versions."""
        return answer(lambda asked: get_status(self._core, asked), request, context)

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Replace the whole list, and wait for the models new by name. Tells how far the metrics asked for rose."""
        before = self._values(request)
        try:
            self._reload(request, context)
        except StatusError as error:
            _LOG.error("ReloadConfig failed: %s", error.message)
            abort(context, error)
        response = model_management_pb2.ReloadConfigResponse(status={"error_code": int(Code.OK)})
        for name, value in self._values(request).items():
            response.metric.add(name=name, int64_value_increase=value - before[name])
        return response

    def _reload(self, request: Any, context: grpc.ServicerContext) -> None:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._core.reload(request.config, still_wanted=context.is_active)

    def _values(self, request: Any) -> dict[str, int]:
        return {name: self._metrics.value_of(name) for name in request.metric_names}
