"""Asks model servers the same question again and again until each answers as the new model would."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
from numpy.typing import NDArray

from roost.adapters.tf_messages import array_from_tensor, packed_tensor_from_array, predict_pb2
from roost.contracts.desired import STABLE
from roost.ports.serving import Tensors

_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_TOLERANCE: Final = 1e-4
_DEADLINE: Final = 10.0


class NeverAnswered(RuntimeError):
    """A server did not come to the new model in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, encoded once, and the answer that tells that the new model gave it."""

    request: bytes
    answer: NDArray[np.float64]
    #: The answer must be of a version above this one.
    above: int

    @classmethod
    def of(
        cls, name: str, inputs: Tensors, answer: NDArray[np.float64], *, above: int, label: str | None = STABLE
    ) -> Question:
        """Ask `name` by its label, or, with None, for whatever version the server takes."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = "serving_default"
        if label is not None:
            request.model_spec.version_label = label
        for key, array in inputs.items():
            request.inputs[key].CopyFrom(packed_tensor_from_array(array))
        return cls(request=request.SerializeToString(), answer=answer, above=above)

    def answered(self, content: bytes) -> bool:
        """Whether that response is the new model's, and right."""
        response = predict_pb2.PredictResponse.FromString(content)
        if response.model_spec.version.value <= self.above:
            return False
        (output,) = (array_from_tensor(tensor) for tensor in response.outputs.values())
        return bool(np.allclose(output.astype(np.float64), self.answer, atol=_TOLERANCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When one server first answered rightly."""

    #: Seconds since 1970.
    at: float
    #: Requests until then.
    asked: int


class Watch:
    """Connections to some servers, kept. `addresses` by name; ``unix:PATH`` or ``host:port``."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        """Nothing is asked yet."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self._channels = {name: grpc.insecure_channel(address, options=options) for name, address in addresses.items()}
        self._threads = ThreadPoolExecutor(len(addresses))

    def first_answers(self, question: Question, *, every: float, seconds: float) -> dict[str, Seen]:
        """Ask each server `every` so many seconds until it answers rightly.

        Raises:
            NeverAnswered: naming who did not within `seconds`.
        """
        give_up = threading.Event()
        waiting = {
            name: self._threads.submit(self._until, name, question, every, time.monotonic() + seconds, give_up)
            for name in self._channels
        }
        try:
            return {name: future.result() for name, future in waiting.items()}
        finally:
            give_up.set()

    def close(self) -> None:
        """Give the connections back."""
        self._threads.shutdown()
        for channel in self._channels.values():
            channel.close()

    def _until(self, name: str, question: Question, every: float, end: float, give_up: threading.Event) -> Seen:
        call = self._channels[name].unary_unary(_PREDICT)
        asked, said = 0, "nothing"
        while time.monotonic() < end and not give_up.is_set():
            asked += 1
            try:
                content = call(question.request, timeout=_DEADLINE)
                if question.answered(content):
                    return Seen(at=time.time(), asked=asked)
                said = "the old answer"
            except grpc.RpcError as error:
                said = f"{error.code().name}: {error.details()}"
            time.sleep(every)
        raise NeverAnswered(f"{name} did not answer with the new model in time; last: {said}")
