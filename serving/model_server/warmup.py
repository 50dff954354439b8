"""Warm-up: requests kept beside the model are answered before it is offered, so that the first caller does not wait.

The file is a TFRecord of PredictionLog messages, as TensorFlow Serving reads it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from roost.adapters.tf_messages import prediction_log_pb2
from serving.model_server.inference.ask import classify, multi_infer, regress
from serving.model_server.predict import predict
from serving.model_server.servable import Servable
from serving.model_server.statuses import Code, StatusError
from serving.model_server.terms import Terms
from serving.model_server.tfrecord import records

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000


def warm_up(servable: Servable, iterations: int) -> int | None:
    """Answer the model's warm-up requests, each so many times; return how many there are (None without a file).

    Raises INVALID_ARGUMENT for more than 1,000 records, UNIMPLEMENTED for a kind of request that the server does not
    answer, DATA_LOSS for a damaged file, and whatever a request itself ends with.
    """
    path = servable.directory / WARMUP_FILE
    if not path.is_file():
        return None
    count = 0
    for record in records(path):
        count += 1
        if count > MOST_RECORDS:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}",
            )
        for _ in range(iterations):
            _replay(servable, record, path)
    return count


def _replay(servable: Servable, record: bytes, path: Path) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Failed to parse warmup record: {record[:64]!r} from {path}"
        ) from error
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    ask = _ASKED.get(kind)
    if ask is None:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    ask(servable, getattr(log, kind).request, Terms())


_ASKED: dict[str, Callable[[Servable, Any, Terms], object]] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_infer,
}
