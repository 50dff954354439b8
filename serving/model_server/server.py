"""One server, put together from its flags: the core, the ways in, the config file's polling; started and drained."""

import logging
import threading
from pathlib import Path
from typing import Any

from serving.model_server.configuration import parse_text, single_model
from serving.model_server.core import CoreOptions, ServerCore
from serving.model_server.flags import Flags
from serving.model_server.grpc_services import GrpcOptions, parse_channel_arguments, start_grpc
from serving.model_server.lifecycle import LoadingPolicy
from serving.model_server.loading import Loader
from serving.model_server.metrics import Metrics
from serving.model_server.predictor import Predictor
from serving.model_server.runtime import RuntimeOptions
from serving.model_server.servable import LoadOptions
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
        self._grpc: Any = None
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
        if self._flags.model_config_file and self._flags.model_config_file_poll_wait_seconds > 0:
            self._poller.start()

    def drain(self, seconds: float) -> None:
        """Take no new request, let those under way end within so many seconds, and stop."""
        self._stopping.set()
        stopped = self._grpc.stop(grace=seconds)
        self._core.stop()
        stopped.wait(timeout=seconds)
        if self._flags.grpc_socket_path:
            Path(self._flags.grpc_socket_path).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Stop what `start` began before it failed."""
        self._stopping.set()
        self._core.stop()

    def _stop_early(self, stop: threading.Event) -> None:
        stop.wait()
        self._core.stop()

    def _first_config(self) -> Any:
        if self._flags.model_config_file:
            return read_config(self._flags.model_config_file)
        return single_model(self._flags.model_name, self._flags.model_base_path)

    def _poll_config(self) -> None:
        """Apply the config file again and again, changed or not: it reverts what a reload pushed, as officially."""
        while not self._stopping.wait(self._flags.model_config_file_poll_wait_seconds):
            try:
                self._core.reload(read_config(self._flags.model_config_file))
            except StatusError as error:
                _LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error.message)  # noqa: TRY400


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
        health_service=flags.enable_grpc_healthcheck_service,
    )
