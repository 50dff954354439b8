"""The gRPC way in: its services on a port and on a Unix socket."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from roost.adapters.tf_messages import model_service_pb2_grpc, prediction_service_pb2_grpc
from serving.model_server.core import ServerCore
from serving.model_server.model_service import ModelService
from serving.model_server.prediction_service import PredictionService
from serving.model_server.predictor import Predictor
from serving.model_server.statuses import Code, StatusError

_LOG = logging.getLogger(__name__)
_UNLIMITED = -1


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
    """Read `--grpc_channel_arguments`: `key=value` by commas, numbers as numbers."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return [(key, int(value) if value.lstrip("-").isdigit() else value) for key, _, value in pairs]


def start_grpc(core: ServerCore, predictor: Predictor, options: GrpcOptions) -> grpc.Server:
    """Start to serve gRPC. Raises StatusError (UNAVAILABLE) naming an address that cannot be had."""
    limits = [("grpc.max_send_message_length", _UNLIMITED), ("grpc.max_receive_message_length", _UNLIMITED)]
    server = grpc.server(
        ThreadPoolExecutor(max_workers=options.max_threads, thread_name_prefix="grpc"),
        options=[*limits, ("grpc.so_reuseport", 0), *options.channel_arguments],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(core, predictor), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), server)
    if options.health_service:
        _add_health(server)
    if options.port > 0:
        _bind(server, f"0.0.0.0:{options.port}", options.credentials)
    if options.socket_path:
        _bind(server, f"unix:{options.socket_path}", options.credentials)
    server.start()
    return server


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise StatusError(
            Code.UNAVAILABLE, f"Failed to BuildAndStart gRPC server: {address} cannot be listened on: is it in use?"
        ) from error
    _LOG.info("Running gRPC ModelServer at %s ...", address)


def _add_health(server: grpc.Server) -> None:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
