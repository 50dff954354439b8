"""The gRPC way in: its services on a port and on a Unix socket."""

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from roost.adapters.tf_messages import model_service_pb2_grpc, prediction_service_pb2_grpc
from serving.model_server.core import ServerCore
from serving.model_server.metrics import Metrics
from serving.model_server.model_service import ModelService
from serving.model_server.prediction_service import PredictionService
from serving.model_server.predictor import Predictor
from serving.model_server.statuses import invalid_argument

_LOG = logging.getLogger(__name__)
_UNLIMITED = -1
_INT32 = 2**31
_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_LONGEST_SOCKET_PATH = 107
_LAST_CALLS_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcOptions:
    """Where the gRPC server listens, and with what. Port 0 with a socket path: the socket alone."""

    port: int
    socket_path: str
    max_threads: int
    channel_arguments: Sequence[tuple[str, int | str]] = ()
    credentials: grpc.ServerCredentials | None = None
    health_service: bool = False


def parse_channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Read `--grpc_channel_arguments`: `key=value` by commas, numbers of 32 bits as numbers."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return [(key, _number_or_text(value.partition("=")[0])) for key, _, value in pairs]


def _number_or_text(value: str) -> int | str:
    number = int(value) if _WHOLE.fullmatch(value) else _INT32
    return number if -_INT32 <= number < _INT32 else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Whoever answers the calls."""

    core: ServerCore
    predictor: Predictor
    metrics: Metrics


class _Gate(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses calls once it is closed: with UNAVAILABLE, which a client may send again elsewhere.

    gRPC's own stop gives CANCELLED to a call that has come in and was not yet taken, which tells the client nothing.
    """

    def __init__(self) -> None:
        self._closed = False

        def refuse(_: object, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "The server is shutting down.")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Let the call through, or refuse it."""
        return self._refusal if self._closed else continuation(handler_call_details)

    def close(self) -> None:
        """Refuse from now on; returns when what came in before has been taken or refused."""
        self._closed = True
        time.sleep(_LAST_CALLS_SECONDS)


class GrpcServer:
    """The services on their addresses, from when it is made. Raises INVALID_ARGUMENT for an address not to be had."""

    def __init__(self, answering: Answering, options: GrpcOptions) -> None:
        limits = [("grpc.max_send_message_length", _UNLIMITED), ("grpc.max_receive_message_length", _UNLIMITED)]
        self._gate = _Gate()
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=max(1, options.max_threads), thread_name_prefix="grpc"),
            interceptors=[self._gate],
            options=[*limits, ("grpc.so_reuseport", 0), *options.channel_arguments],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(answering.core, answering.predictor), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(answering.core, answering.metrics), self._server
        )
        self._health = _add_health(self._server) if options.health_service else None
        if options.port > 0:
            _bind(self._server, f"0.0.0.0:{options.port}", options.credentials)
        if options.socket_path:
            _bind(self._server, f"unix:{options.socket_path}", options.credentials)
        self._server.start()

    def stop(self, seconds: float) -> threading.Event:
        """Take no new call; those under way have so many seconds. Returns what is set when all have ended."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()
        if seconds > 0:
            self._gate.close()
        stopped: threading.Event = self._server.stop(grace=seconds)
        return stopped


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise invalid_argument(
            f"Failed to BuildAndStart gRPC server: {address} cannot be listened on: {_why(address)}"
        ) from error
    _LOG.info("Running gRPC ModelServer at %s ...", address.replace("unix:", "UNIX socket ", 1))


def _why(address: str) -> str:
    """Guess at what gRPC does not say."""
    scheme, _, path = address.partition("unix:")
    if scheme:
        return "is it in use, or is the certificate no PEM?"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        return f"a socket's path may have {_LONGEST_SOCKET_PATH} bytes"
    return "is its directory there and writable, and no other file in its place?"


def _add_health(server: grpc.Server) -> HealthServicer:
    """Add grpc.health.v1: by the empty name for the server as a whole, and by no other, as gRPC's own in C++."""
    servicer = HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer
