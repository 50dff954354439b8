"""TensorFlow Serving's gRPC API: predictions for everybody, status and reload for the node that owns the server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

import grpc
from pydantic import SecretStr

from roost.adapters.grpc_tls import ClientTls
from roost.adapters.tf_messages import (
    UnsupportedTensorError,
    array_from_tensor,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    packed_tensor_from_array,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from roost.contracts.desired import STABLE
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.ports.serving import Tensors

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server is reached directly: a proxy of the environment is never meant.
    ("grpc.enable_http_proxy", 0),
    # A replaced model server is back within a second; the library's own back-off goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    # Despite its name: how long one attempt to connect may take. A busy server greets late.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_UNREACHED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)
#: Seconds between two looks at whether the caller still wants the answer of a reload.
_GLANCE: Final = 0.1


class ReloadTimedOut(ModelServerUnavailable):
    """A reload did not return by its deadline: what it did is unknown, and later ones will hang behind it."""


class LoadState(StrEnum):
    """State of a version in the model server, by TensorFlow Serving's names."""

    UNKNOWN = "UNKNOWN"
    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    #: Unloaded; or never loaded, and then `error` says why.
    END = "END"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStatus:
    """What the model server says of one version."""

    state: LoadState
    #: None where its status is OK.
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Outputs of a prediction, and the version that gave them."""

    version: int
    outputs: Tensors


class ModelServerClient:
    """One server, over ``unix:PATH`` or ``host:port``. Safe for threads. Connects when first asked."""

    def __init__(self, target: str, token: SecretStr | None = None, tls: ClientTls | None = None) -> None:
        self._target = target
        self._metadata = (("authorization", f"Bearer {token.get_secret_value()}"),) if token else ()
        self._channel = tls.open_channel(target, _OPTIONS) if tls else grpc.insecure_channel(target, _OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def answers(self, *, deadline: float) -> bool:
        """Whether the server takes calls within `deadline` seconds."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=deadline)
        except grpc.FutureTimeoutError:
            return False
        return True

    def predict(self, name: str, inputs: Tensors, *, version: int | None, signature: str, deadline: float) -> Answer:
        """Outputs by name, of `version` or, where that is None, of the version labelled ``stable``.

        Raises:
            ModelServerUnavailable: not reached, or past `deadline` seconds.
            Permanent: refused; the text is the server's own. Also where an input or output is of no known type.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.model_spec.signature_name = signature
        if version is None:
            request.model_spec.version_label = STABLE
        else:
            request.model_spec.version.value = version
        try:
            for key, array in inputs.items():
                request.inputs[key].CopyFrom(packed_tensor_from_array(array))
            answer = self._call(self._predictions.Predict, request, deadline)
            outputs = {key: array_from_tensor(tensor) for key, tensor in answer.outputs.items()}
        except UnsupportedTensorError as error:
            raise Permanent(f"{name}: {error}") from error
        return Answer(version=answer.model_spec.version.value, outputs=outputs)

    def status(self, name: str, version: int, *, deadline: float) -> LoadStatus | None:
        """State of exactly that version; None where the server has never heard of it.

        Raises:
            ModelServerUnavailable: not reached, or past `deadline` seconds.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        request.model_spec.version.value = version
        try:
            answer = self._call(self._models.GetModelStatus, request, deadline)
        except _Missing:
            return None
        for entry in answer.model_version_status:
            if entry.version == version:
                state = LoadState(get_model_status_pb2.ModelVersionStatus.State.Name(entry.state))
                error = entry.status.error_message or f"error code {entry.status.error_code}"
                return LoadStatus(state=state, error=error if entry.status.error_code else None)
        return None

    def reload(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        deadline: float,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Replace the server's whole list of models. An OK does not say that a version is loaded: ask its status.

        `wanted` is asked ten times a second; once it says no, the answer is no longer waited for.

        Raises:
            ReloadTimedOut: no answer within `deadline` seconds, or no longer wanted.
            ModelServerUnavailable: not reached, or gone meanwhile.
            Permanent: refused; the text is the server's own. The new list may stand all the same.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        call = self._models.HandleReloadConfigRequest.future(request, timeout=deadline, metadata=self._metadata)
        while True:
            try:
                answer = call.result(timeout=_GLANCE)
                break
            except grpc.FutureTimeoutError:
                if not wanted():
                    call.cancel()
                    raise ReloadTimedOut(f"the reload of {self._target} was given up") from None
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise ReloadTimedOut(
                        f"the reload of {self._target} did not return within {deadline:g} s"
                    ) from error
                self._translate(error, deadline)
        if answer.status.error_code:
            raise Permanent(answer.status.error_message)

    def close(self) -> None:
        """Drop the connection; calls under way are cancelled."""
        self._channel.close()

    def _call(self, method: Any, request: object, deadline: float) -> Any:
        try:
            return method(request, timeout=deadline, metadata=self._metadata)
        except grpc.RpcError as error:
            self._translate(error, deadline)
        except ValueError as error:
            raise ModelServerUnavailable(f"the connection to {self._target} was closed") from error

    def _translate(self, error: grpc.RpcError, deadline: float) -> NoReturn:
        said = error.details() or error.code().name
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise ModelServerUnavailable(f"{self._target} did not answer within {deadline:g} s") from error
        if error.code() in _UNREACHED:
            raise ModelServerUnavailable(f"{self._target}: {said}") from error
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise _Missing(said) from error
        raise Permanent(said) from error


class TfServingPredictor:
    """`Predictor` over any number of addresses; one connection each, kept. Safe for threads."""

    def __init__(self, token: SecretStr | None = None, tls: ClientTls | None = None) -> None:
        """`tls` where the addresses speak it; its files may be replaced."""
        self._token = token
        self._tls = tls
        self._lock = threading.Lock()
        self._clients: dict[str, ModelServerClient] = {}
        self._stamp = tls.stamp() if tls else ()

    def predict(
        self, address: str, name: str, inputs: Tensors, *, version: int | None, signature: str, deadline: float
    ) -> Tensors:
        """Outputs by name."""
        client = self._client(address)
        return client.predict(name, inputs, version=version, signature=signature, deadline=deadline).outputs

    def close(self) -> None:
        """Drop all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, address: str) -> ModelServerClient:
        with self._lock:
            if self._tls and self._stamp != (now := self._tls.stamp()):
                # Whoever is under way with an old connection holds it; new calls show the new certificate.
                self._stamp, self._clients = now, {}
            if address not in self._clients:
                self._clients[address] = ModelServerClient(address, self._token, self._tls)
            return self._clients[address]


class _Missing(Permanent):
    """The server does not have what was named (NOT_FOUND)."""
