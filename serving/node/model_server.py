"""The model server as a child: started with a configuration file, spoken to over its Unix socket."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import serving
from roost.adapters.tf_serving import Answer, LoadStatus, ModelServerClient
from roost.contracts.errors import ModelServerUnavailable, SettingsInvalid
from roost.ports.serving import Tensors
from serving.node.child import Child
from serving.node.files import write_atomically
from serving.node.layout import Layout
from serving.node.model_config import ModelEntry, render, render_text
from serving.node.rest_port import METRICS_PATH, RestPort

#: How long one look may wait for a server that is starting. Seconds.
_CONNECT_SECONDS: Final = 0.05
#: How long a prediction or a status may take. Beyond it the server counts as not answering.
_ANSWER_SECONDS: Final = 10.0
#: How long one look may wait for the REST API of a server that is starting, and of one that runs. Seconds.
_REST_LOOK_SECONDS: Final = 0.5
_REST_SECONDS: Final = _ANSWER_SECONDS
_MONITORING: Final = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'.encode()


class ServerState(StrEnum):
    """State of the child."""

    #: Not started, or ended.
    DOWN = "down"
    #: Runs; does not take calls yet.
    STARTING = "starting"
    #: Takes calls, by gRPC and by REST.
    UP = "up"


class ModelServer(Protocol):
    """One model server that is ours to start and end.

        start() ──▶ STARTING ──▶ UP ──▶ DOWN (by itself, or stop())

    Calls raise `ModelServerUnavailable` where it is not up or does not answer in time.
    """

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    def start(self, entries: Sequence[ModelEntry]) -> None:
        """Start it on these models; returns at once."""

    def state(self) -> ServerState:
        """Where it stands now."""

    def hindrance(self) -> str | None:
        """What is missing of one that is STARTING and takes calls by gRPC already; None where that is not so."""

    def check_rest(self) -> None:
        """Ask its REST API something."""

    def metrics_page(self) -> str:
        """Its metrics, in Prometheus' text form. For any thread."""

    def stop(self, grace_seconds: float) -> None:
        """End it: asked first, and killed after that time. Returns once it is gone."""

    def epitaph(self) -> str:
        """How it ended, and its last words."""

    def resident_bytes(self) -> int | None:
        """Its resident set."""

    def reload(self, entries: Sequence[ModelEntry], *, deadline: float) -> None:
        """Replace the list of models. Raises `ReloadTimedOut` past `deadline`, `Permanent` where it is refused."""

    def status(self, name: str, version: int) -> LoadStatus | None:
        """State of one version, None where it is unknown."""

    def predict(self, name: str, inputs: Tensors, *, version: int | None, signature: str) -> Answer:
        """One prediction, by version or, with None, by the label ``stable``. Raises `Permanent` where it is refused."""


class TfModelServer:
    """`tensorflow_model_server`, or Roost's stand-in, which takes the same command line."""

    def __init__(self, program: Sequence[str], layout: Layout, *, rest_port: int, load_threads: int) -> None:
        """`program` is the beginning of the command line. Its REST API listens at `rest_port`."""
        self._program = tuple(program)
        self._layout = layout
        self._rest_port = rest_port
        self._load_threads = load_threads
        self._child: Child | None = None
        self._client: ModelServerClient | None = None
        self._connected = self._complete = False
        self._rest = RestPort(rest_port)
        self._hindrance: str | None = None
        #: Called, from another thread, when the child has ended.
        self.on_exit: Callable[[], None] = lambda: None
        #: Asked while a reload is under way: whether the node goes on.
        self.going_on: Callable[[], bool] = lambda: True

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child and self._child.exit_code is None else None

    def start(self, entries: Sequence[ModelEntry]) -> None:
        """Start it. Must be called from a thread that lives as long as the node; see `Child`."""
        write_atomically(self._layout.boot_config, render_text(entries).encode())
        write_atomically(self._layout.monitoring_config, _MONITORING)
        self._layout.model_server_socket.unlink(missing_ok=True)
        self._connected = self._complete = False
        self._hindrance = None
        # The packages of this very node, wherever it was started from.
        roots = [str(Path(serving.__path__[0]).parent), os.environ.get("PYTHONPATH", "")]
        self._child = Child(
            [*self._program, *flags(self._layout, rest_port=self._rest_port, load_threads=self._load_threads)],
            log=self._layout.logs / "model-server.log",
            on_exit=self.on_exit,
            env={"PYTHONPATH": os.pathsep.join(filter(None, roots)), "TF_CPP_MIN_LOG_LEVEL": "1"},
        )

    def state(self) -> ServerState:
        """Where it stands now. While it starts this waits a moment for the connection."""
        if self._child is None or self._child.exit_code is not None:
            self._disconnect()
            return ServerState.DOWN
        if not self._connected and self._layout.model_server_socket.exists():
            self._client = self._client or ModelServerClient(f"unix:{self._layout.model_server_socket}")
            self._connected = self._client.answers(deadline=_CONNECT_SECONDS)
        if self._connected and not self._complete:
            self._complete = self._rest_is_up()
        return ServerState.UP if self._complete else ServerState.STARTING

    def hindrance(self) -> str | None:
        """Why its REST API is not there, though gRPC is."""
        return self._hindrance

    def check_rest(self) -> None:
        """Ask its REST API something."""
        self._rest.check(deadline=_REST_SECONDS)

    def stop(self, grace_seconds: float) -> None:
        """End it."""
        if self._child is not None:
            if grace_seconds > 0:
                self._child.terminate(grace_seconds)
            else:
                self._child.kill()
        self._disconnect()

    def epitaph(self) -> str:
        """How it ended, and its last words."""
        if self._child is None:
            return "it was never started"
        return f"exit code {self._child.exit_code}; its log ends: {self._child.last_words()}"

    def resident_bytes(self) -> int | None:
        """Its resident set."""
        return self._child.resident_bytes() if self._child else None

    def reload(self, entries: Sequence[ModelEntry], *, deadline: float) -> None:
        """Replace the list of models."""
        self._connection().reload(render(entries), deadline=deadline, wanted=self.going_on)

    def status(self, name: str, version: int) -> LoadStatus | None:
        """State of one version."""
        return self._connection().status(name, version, deadline=_ANSWER_SECONDS)

    def predict(self, name: str, inputs: Tensors, *, version: int | None, signature: str) -> Answer:
        """One prediction."""
        return self._connection().predict(name, inputs, version=version, signature=signature, deadline=_ANSWER_SECONDS)

    def metrics_page(self) -> str:
        """Its metrics."""
        return self._rest.metrics(deadline=_REST_SECONDS)

    def _rest_is_up(self) -> bool:
        try:
            self._rest.check(deadline=_REST_LOOK_SECONDS)
        except ModelServerUnavailable as error:
            # One that takes its time, on a busy machine, is starting; nobody at its port, or somebody else, is not.
            self._hindrance = None if isinstance(error.__cause__, TimeoutError) else str(error)
            return False
        self._hindrance = None
        return True

    def _connection(self) -> ModelServerClient:
        if self._client is None:
            raise ModelServerUnavailable("the model server is not running")
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client, self._connected, self._complete, self._hindrance = None, False, False, None


def flags(layout: Layout, *, rest_port: int, load_threads: int) -> list[str]:
    """The model server's command line after its name: flags of TensorFlow Serving's own `main.cc`, none of ours."""
    return [
        # No TCP port: whoever reaches gRPC can also reload.
        "--port=0",
        f"--grpc_socket_path={layout.model_server_socket}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={layout.boot_config}",
        f"--monitoring_config_file={layout.monitoring_config}",
        "--file_system_poll_wait_seconds=1",
        # Loads and unloads beside the manager's own thread, and no retries: one version must not hold up the others.
        f"--num_load_threads={load_threads}",
        "--num_unload_threads=1",
        "--max_num_load_retries=0",
        # Needed to start with labels in the file; a reload still refuses a label that moves to what is not there.
        "--allow_version_labels_for_unavailable_models=true",
    ]


def find_program(setting: str) -> list[str]:
    """The model server's program: the setting's, the one on PATH, or Roost's own.

    Raises:
        SettingsInvalid: the setting names a program that is not there.
    """
    if setting != "auto":
        found = shutil.which(setting)
        if found is None:
            raise SettingsInvalid(f"ROOST_SERVING__MODEL_SERVER names {setting}, which is no program; or leave it auto")
        return [found]
    found = shutil.which("tensorflow_model_server")
    return [found] if found else [sys.executable, "-m", "serving.model_server"]
