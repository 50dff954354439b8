"""A real model server process, and a client for each of its ways in."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from roost.adapters import tf_messages as messages

READY_SECONDS = 120.0

#: Command line of the drop-in server, as far as its flags.
DROP_IN = (sys.executable, "-m", "serving.model_server")

#: Flags with which a server is quick to show what it does.
FAST = ("--num_load_threads=2", "--max_num_load_retries=0", "--file_system_poll_wait_seconds=1")


def official_server() -> str | None:
    """Path of the official server: what ROOST_SERVING__MODEL_SERVER names, or the one on PATH; None without one."""
    return shutil.which(os.environ.get("ROOST_SERVING__MODEL_SERVER") or "tensorflow_model_server")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(condition: Callable[[], object], what: str, seconds: float = 100.0) -> None:
    """Wait until the condition holds; fail by name at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def config(models: Mapping[str, Path | str], **more: str) -> str:
    """The text of a config file; `more` adds text to a model's entry."""
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more.get(name, "")} }}\n'
        for name, path in models.items()
    )
    return f"model_config_list {{\n{entries}}}\n"


def reload_request(text: str) -> Any:
    """A reload request from a config file's text."""
    from google.protobuf import text_format

    request = messages.model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What REST answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.text)


class RunningServer:
    """A model server, the drop-in one by default, as a child process, listening on a Unix socket and a REST port."""

    def __init__(self, directory: Path, *arguments: str, program: Sequence[str] = DROP_IN) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.socket_path = directory / "s.sock"
        self.rest_port = free_port()
        self.log = directory / "server.log"
        command = [*program, "--port=0", f"--grpc_socket_path={self.socket_path}"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, f"--rest_api_port={self.rest_port}", *arguments], stdout=output, stderr=subprocess.STDOUT
            )
        self._channel = grpc.insecure_channel(f"unix:{self.socket_path}")
        self.predictions = messages.prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.models = messages.model_service_pb2_grpc.ModelServiceStub(self._channel)

    def wait_until_ready(self) -> "RunningServer":
        """Return when the ports are open; fail with the log where the process ended instead."""
        eventually(lambda: self.process.poll() is not None or self.open(), "ports open", READY_SECONDS)
        assert self.process.poll() is None, self.log.read_text()
        grpc.channel_ready_future(self._channel).result(timeout=READY_SECONDS)
        return self

    def open(self) -> bool:
        """Whether the REST port is open, which comes last."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.rest_port)) == 0

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        self._channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=100)
        finally:
            self.process.kill()

    def predict(self, model: str, inputs: Mapping[str, Any], **spec: Any) -> Any:
        """Predict over gRPC."""
        return self.predictions.Predict(predict_request(model, inputs, **spec), timeout=100)

    def scale(self, model: str = "scale", **spec: Any) -> float:
        """Which factor answers: the version, for the model `scale`."""
        return float(self.predict(model, {"x": np.array([1.0], np.float32)}, **spec).outputs["y"].float_val[0])

    def reload(self, text: str, timeout: float = 100.0) -> Any:
        """Replace the list."""
        return self.models.HandleReloadConfigRequest(reload_request(text), timeout=timeout)

    def refuses(self, text: str, timeout: float = 100.0) -> tuple[grpc.StatusCode, str]:
        """Reload, expecting a refusal: its code and text."""
        try:
            self.reload(text, timeout)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError(f"was not refused: {text}")

    def status(self, **spec: Any) -> Any:
        """GetModelStatus of a ModelSpec's fields; without any, of no ModelSpec at all."""
        request = messages.get_model_status_pb2.GetModelStatusRequest()
        if spec:
            request.model_spec.SetInParent()
        if "version" in spec:
            request.model_spec.version.value = spec.pop("version")
        for field, value in spec.items():
            setattr(request.model_spec, field, value)
        return self.models.GetModelStatus(request, timeout=100)

    def states(self, model: str) -> dict[int, str]:
        """Each version's state by name, newest first; empty for an unknown model."""
        request = messages.get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        try:
            found = self.models.GetModelStatus(request, timeout=100).model_version_status
        except grpc.RpcError:
            return {}
        names = messages.get_model_status_pb2.ModelVersionStatus.State
        return {each.version: names.Name(each.state) for each in found}

    def http(self, method: str, path: str, body: str | bytes | None = None) -> HttpAnswer:
        """One REST request."""
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest_port}{path}", data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=100) as answer:
                return HttpAnswer(status=answer.status, text=answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return HttpAnswer(status=error.code, text=error.read().decode())

    def post(self, path: str, body: object) -> HttpAnswer:
        """Post JSON below /v1/models/."""
        return self.http("POST", f"/v1/models/{path}", json.dumps(body))

    def get(self, path: str) -> HttpAnswer:
        """Get below /v1/models."""
        return self.http("GET", f"/v1/models{path}")


@contextmanager
def starting(program: Sequence[str]) -> Iterator[Callable[..., RunningServer]]:
    """Starts servers, with a config file of the text `models` where it is given, and ends them all.

    The directory is a short one: a Unix socket's path may have about 100 characters.
    """
    root = Path(tempfile.mkdtemp(prefix="roost-ms-", dir="/tmp"))
    servers: list[RunningServer] = []

    def begin(*arguments: str, models: str | None = None, ready: bool = True) -> RunningServer:
        directory = root / str(len(servers))
        directory.mkdir()
        if models is not None:
            (directory / "models.config").write_text(models)
            arguments = (f"--model_config_file={directory}/models.config", *arguments)
        server = RunningServer(directory, *arguments, program=program)
        servers.append(server)
        return server.wait_until_ready() if ready else server

    try:
        yield begin
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)


def predict_request(
    model: str, inputs: Mapping[str, Any], *, version: int | None = None, label: str = "", signature: str = ""
) -> Any:
    """A PredictRequest."""
    request = messages.predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(messages.tensor_from_array(value))
    return request
