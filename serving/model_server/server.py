"""One server, put together from its flags: the core, the ways in, the config file's polling; started and drained."""

import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

import grpc

from serving.model_server.batching.parameters import SERVER_POOL, BatchingParameters, read_parameters
from serving.model_server.batching.scheduler import BatchingOptions, BatchScheduler
from serving.model_server.config_files import read_config
from serving.model_server.core import CoreOptions, ServerCore
from serving.model_server.disk_source import Polling
from serving.model_server.flags import Flags
from serving.model_server.grpc_server import Answering, GrpcOptions, GrpcServer, parse_channel_arguments
from serving.model_server.loading import Loader
from serving.model_server.metrics import Metrics
from serving.model_server.predictor import Predictor
from serving.model_server.rest.handler import RestHandler, RestOptions
from serving.model_server.rest.http_server import HttpServer
from serving.model_server.rest.patience import Patience
from serving.model_server.retries import LoadingPolicy
from serving.model_server.rigour import Hazard
from serving.model_server.runtime import RuntimeOptions, read_session_config
from serving.model_server.servable import LoadOptions
from serving.model_server.side_files import metrics_path, tls_credentials
from serving.model_server.statuses import StatusError, invalid_argument

_LOG = logging.getLogger(__name__)
_MICROSECONDS = 1e6
#: Between two looks of the official manager, with the hazard of that name.
_TICK_SECONDS = 0.1


class ModelServer:
    """The server of one process. Ports open when every model of the first list serves."""

    def __init__(self, flags: Flags, hazards: frozenset[Hazard] = frozenset()) -> None:
        """Prepare it; nothing is read or opened before `start`."""
        self._flags = flags
        self._metrics = Metrics()
        self._core = ServerCore(_core_options(flags, hazards), _loader(flags, hazards, self._metrics))
        self._grpc: GrpcServer | None = None
        self._rest: HttpServer | None = None
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_config, name="config-poll", daemon=True)

    def start(self, config: Any, stop: threading.Event) -> None:
        """Load the list of a ModelServerConfig and open the ports. Raises StatusError: what is wrong with it or a port.

        Waiting for models ends early, with CANCELLED, when `stop` is set.
        """
        watcher = threading.Thread(target=self._stop_early, args=(stop,), daemon=True)
        watcher.start()
        self._core.start(config)
        predictor = Predictor(self._core, self._metrics, packed=self._flags.enable_serialization_as_tensor_content)
        answering = Answering(core=self._core, predictor=predictor, metrics=self._metrics)
        self._grpc = GrpcServer(answering, _grpc_options(self._flags))
        self._start_rest(predictor)
        if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds > 0:
            self._poller.start()

    def drain(self, seconds: float) -> None:
        """Take no new request, let those under way end within so many seconds, and stop."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        stopped = self._grpc.stop(seconds) if self._grpc else None
        self._core.stop()
        if self._rest:
            self._rest.drain(seconds)
        if stopped:
            stopped.wait(timeout=max(0.0, deadline - time.monotonic()))
        if self._grpc and self._flags.grpc_socket_path:
            Path(self._flags.grpc_socket_path).unlink(missing_ok=True)

    def _start_rest(self, predictor: Predictor) -> None:
        flags = self._flags
        if not flags.rest_api_port:
            return
        if flags.rest_api_port == flags.port:
            _LOG.error(
                "server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
                "Skipped exporting HTTP/REST API."
            )
            return
        options = RestOptions(
            metrics_path=metrics_path(flags.monitoring_config_file) if flags.monitoring_config_file else "",
            cors=flags.rest_api_enable_cors_support,
            timeout=flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else math.inf,
        )
        handler = RestHandler(self._core, predictor, self._metrics, options)
        try:
            self._rest = HttpServer(
                port=flags.rest_api_port,
                handle=handler.handle,
                threads=flags.rest_api_num_threads,
                patience=Patience(answer=options.timeout),
            )
        except StatusError as error:
            # As officially: the server goes on without REST.
            _LOG.error("Failed to start HTTP Server at localhost:%s: %s", flags.rest_api_port, error.message)
            return
        self._rest.start()
        _LOG.info("Exporting HTTP/REST API at:localhost:%s ...", self._rest.port)

    def abandon(self) -> None:
        """Stop what `start` began before it failed."""
        self.drain(0.0)

    def _stop_early(self, stop: threading.Event) -> None:
        stop.wait()
        self._core.stop()

    def _poll_config(self) -> None:
        """Apply the config file again and again, changed or not: it reverts what a reload pushed, as officially."""
        while not self._stopping.wait(self._flags.model_config_file_poll_wait_seconds):
            try:
                config = read_config(self._flags.model_config_file)
            except StatusError as error:
                _LOG.error("Failed to read ModelServerConfig file: %s", error.message)
                continue
            try:
                self._core.reload(config)
            except StatusError as error:
                _LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error.message)


def _core_options(flags: Flags, hazards: frozenset[Hazard]) -> CoreOptions:
    return CoreOptions(
        polling=Polling(seconds=flags.file_system_poll_wait_seconds, at_reload=Hazard.POLL_ON_INTERVAL not in hazards),
        loading=LoadingPolicy(
            load_threads=flags.num_load_threads,
            unload_threads=flags.num_unload_threads,
            max_retries=flags.max_num_load_retries,
            retry_seconds=flags.load_retry_interval_micros / _MICROSECONDS,
            tick_seconds=_TICK_SECONDS if Hazard.MANAGER_TICK in hazards else 0.0,
        ),
        allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        hazards=hazards,
    )


def _loader(flags: Flags, hazards: frozenset[Hazard], metrics: Metrics) -> Loader:
    return Loader(
        options=LoadOptions(
            tags=tuple(flags.saved_model_tags.split(",")),
            runtime=_runtime(flags),
            batching=_batching(flags, hazards, metrics),
            check_method_names=flags.enable_signature_method_name_check,
            prefer_tflite=flags.prefer_tflite_model,
            kept=[] if Hazard.KEPT_MEMORY in hazards else None,
        ),
        warmup_iterations=max(1, flags.num_request_iterations_for_warmup) if flags.enable_model_warmup else 0,
        metrics=metrics,
    )


def _runtime(flags: Flags) -> RuntimeOptions:
    """Return how sessions are made: by the flags, and where they say nothing by the file. Raises INVALID_ARGUMENT."""
    shared = flags.tensorflow_session_parallelism
    config = read_session_config(flags.tensorflow_session_config_file)
    return RuntimeOptions(
        intra_op_threads=flags.tensorflow_intra_op_parallelism or shared or config.intra_op_parallelism_threads,
        inter_op_threads=flags.tensorflow_inter_op_parallelism or shared or config.inter_op_parallelism_threads,
        gpu_memory_fraction=flags.per_process_gpu_memory_fraction or config.gpu_options.per_process_gpu_memory_fraction,
        config=config.SerializeToString(),
    )


def _batching(flags: Flags, hazards: frozenset[Hazard], metrics: Metrics) -> BatchScheduler | None:
    """Return what batches runs, if they are to be. Raises INVALID_ARGUMENT where the flags or their file do not fit."""
    path = flags.batching_parameters_file
    if not flags.enable_batching:
        if path:
            raise invalid_argument(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
            )
        return None
    parameters = read_parameters(path) if path else BatchingParameters(pool=SERVER_POOL)
    options = BatchingOptions(
        mixed=Hazard.MIXED_BATCHES in hazards, per_model=flags.enable_per_model_batching_parameters
    )
    return BatchScheduler(parameters, metrics, options)


def _credentials(flags: Flags) -> grpc.ServerCredentials | None:
    if flags.use_alts_credentials:
        return grpc.alts_server_credentials()
    return tls_credentials(flags.ssl_config_file) if flags.ssl_config_file else None


def _grpc_options(flags: Flags) -> GrpcOptions:
    return GrpcOptions(
        port=flags.port,
        socket_path=flags.grpc_socket_path,
        max_threads=flags.grpc_max_threads,
        channel_arguments=parse_channel_arguments(flags.grpc_channel_arguments),
        credentials=_credentials(flags),
        health_service=flags.enable_grpc_healthcheck_service,
    )
