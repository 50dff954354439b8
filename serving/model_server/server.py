"""One server, put together from its flags: the core, the ways in, the config file's polling; started and drained."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import grpc

from serving.model_server.configuration import parse_text, single_model
from serving.model_server.core import CoreOptions, ServerCore
from serving.model_server.flags import Flags
from serving.model_server.grpc_server import GrpcOptions, parse_channel_arguments, start_grpc
from serving.model_server.lifecycle import LoadingPolicy
from serving.model_server.loading import Loader
from serving.model_server.metrics import Metrics
from serving.model_server.predictor import Predictor
from serving.model_server.rest.handler import RestHandler, RestOptions
from serving.model_server.rest.http_server import HttpServer
from serving.model_server.runtime import RuntimeOptions
from serving.model_server.servable import LoadOptions
from serving.model_server.side_files import metrics_path, tls_credentials
from serving.model_server.statuses import StatusError, invalid_argument, not_found

_LOG = logging.getLogger(__name__)
_MICROSECONDS = 1e6


class ModelServer:
    """The server of one process. Ports open when every model of the first list serves."""

    def __init__(self, flags: Flags) -> None:
        """Prepare it; nothing is read or opened before `start`."""
        self._flags = flags
        self._metrics = Metrics()
        self._core = ServerCore(_core_options(flags), _loader(flags, self._metrics))
        self._grpc: grpc.Server | None = None
        self._rest: HttpServer | None = None
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_config, name="config-poll", daemon=True)

    def start(self, stop: threading.Event) -> None:
        """Load the first list and open the ports. Raises StatusError: what is wrong with config, model or port.

        Waiting for models ends early, with CANCELLED, when `stop` is set.
        """
        config = self._first_config()
        watcher = threading.Thread(target=self._stop_early, args=(stop,), daemon=True)
        watcher.start()
        self._core.start(config)
        predictor = Predictor(self._core, self._metrics, packed=self._flags.enable_serialization_as_tensor_content)
        self._grpc = start_grpc(self._core, predictor, _grpc_options(self._flags))
        self._start_rest(predictor)
        if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds > 0:
            self._poller.start()

    def drain(self, seconds: float) -> None:
        """Take no new request, let those under way end within so many seconds, and stop."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        stopped = self._grpc.stop(grace=seconds) if self._grpc else None
        self._core.stop()
        if self._rest:
            self._rest.drain(seconds)
        if stopped:
            stopped.wait(timeout=max(0.0, deadline - time.monotonic()))
        if self._flags.grpc_socket_path:
            Path(self._flags.grpc_socket_path).unlink(missing_ok=True)

    def _start_rest(self, predictor: Predictor) -> None:
        flags = self._flags
        if not flags.rest_api_port:
            return
        if flags.rest_api_port == flags.port:
            _LOG.error("--rest_api_port cannot be same as --port. Skipped exporting HTTP/REST API.")
            return
        options = RestOptions(
            metrics_path=metrics_path(flags.monitoring_config_file) if flags.monitoring_config_file else "",
            cors=flags.rest_api_enable_cors_support,
        )
        handler = RestHandler(self._core, predictor, self._metrics, options)
        self._rest = HttpServer(port=flags.rest_api_port, handle=handler.handle, threads=flags.rest_api_num_threads)
        self._rest.start()
        _LOG.info("Exporting HTTP/REST API at:localhost:%s ...", self._rest.port)

    def abandon(self) -> None:
        """Stop what `start` began before it failed."""
        self.drain(0.0)

    def _stop_early(self, stop: threading.Event) -> None:
        stop.wait()
        self._core.stop()

    def _first_config(self) -> Any:
        if not self._flags.port and not self._flags.grpc_socket_path:
            raise invalid_argument(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
            )
        if self._flags.model_config_file:
            return read_config(self._flags.model_config_file)
        return single_model(self._flags.model_name, self._flags.model_base_path)

    def _poll_config(self) -> None:
        """Apply the config file again and again, changed or not: it reverts what a reload pushed, as officially."""
        while not self._stopping.wait(self._flags.model_config_file_poll_wait_seconds):
            try:
                self._core.reload(read_config(self._flags.model_config_file))
            except StatusError as error:
                _LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error.message)


def read_config(path: str) -> Any:
    """Read a config file. Raises NOT_FOUND where it is not there, INVALID_ARGUMENT where it does not parse."""
    try:
        text = Path(path).read_text()
    except FileNotFoundError as error:
        raise not_found(f"{path}; No such file or directory") from error
    except (OSError, UnicodeDecodeError) as error:
        raise invalid_argument(f"{path}: {error}") from error
    return parse_text(text)


def _core_options(flags: Flags) -> CoreOptions:
    return CoreOptions(
        poll_seconds=flags.file_system_poll_wait_seconds,
        loading=LoadingPolicy(
            load_threads=flags.num_load_threads,
            unload_threads=flags.num_unload_threads,
            max_retries=flags.max_num_load_retries,
            retry_seconds=flags.load_retry_interval_micros / _MICROSECONDS,
        ),
        allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
    )


def _loader(flags: Flags, metrics: Metrics) -> Loader:
    shared = flags.tensorflow_session_parallelism
    runtime = RuntimeOptions(
        intra_op_threads=flags.tensorflow_intra_op_parallelism or shared,
        inter_op_threads=flags.tensorflow_inter_op_parallelism or shared,
        gpu_memory_fraction=flags.per_process_gpu_memory_fraction,
    )
    return Loader(
        options=LoadOptions(tags=tuple(flags.saved_model_tags.split(",")), runtime=runtime),
        warmup_iterations=max(1, flags.num_request_iterations_for_warmup) if flags.enable_model_warmup else 0,
        metrics=metrics,
    )


def _grpc_options(flags: Flags) -> GrpcOptions:
    return GrpcOptions(
        port=flags.port,
        socket_path=flags.grpc_socket_path,
        max_threads=flags.grpc_max_threads,
        channel_arguments=parse_channel_arguments(flags.grpc_channel_arguments),
        credentials=tls_credentials(flags.ssl_config_file) if flags.ssl_config_file else None,
        health_service=flags.enable_grpc_healthcheck_service,
    )
