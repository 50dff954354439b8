"""PredictionService over gRPC."""

import math
from typing import Any

import grpc

from roost.adapters.tf_messages import prediction_service_pb2_grpc
from serving.model_server.core import ServerCore
from serving.model_server.grpc_errors import answer
from serving.model_server.metadata import get_metadata
from serving.model_server.predictor import Predictor


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]  # generated, untyped
    """Predictions and the signatures they have."""

    def __init__(self, core: ServerCore, predictor: Predictor) -> None:
        """Answer from this core."""
        self._core = core
        self._predictor = predictor

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Run a signature on tensors."""
        return answer(lambda asked: self._predictor.predict(asked, _timeout(context)), request, context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Run a signature on examples, and give classes."""
        return answer(lambda asked: self._predictor.classify(asked, _timeout(context)), request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Run a signature on examples, and give values."""
        return answer(lambda asked: self._predictor.regress(asked, _timeout(context)), request, context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Run several signatures on the same examples."""
        return answer(lambda asked: self._predictor.multi_infer(asked, _timeout(context)), request, context)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (gRPC's name)
        """Tell a version's signatures."""
        return answer(lambda asked: get_metadata(self._core, asked), request, context)


def _timeout(context: grpc.ServicerContext) -> float:
    """Return the seconds until the caller gives up."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else float(remaining)
