"""The drop-in model server alone, without a node: what the limit and the config-file baseline are made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.asking import Question, Watch
from bench.stack import ROOT
from bench.variants import Variant
from roost.adapters.tf_serving import LoadState, ModelServerClient
from roost.contracts.manifest import ManifestFile
from roost.ports.object_store import ObjectStore
from serving.node.model_config import ModelEntry, render, render_text

_START_SECONDS: Final = 120.0
_LOAD_SECONDS: Final = 60.0
_LOOK: Final = 0.002
_AT_ONCE: Final = 8


class NotUp(RuntimeError):
    """A model server did not start; the text is the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BareServer:
    """One running model server, its models and its configuration file."""

    name: str
    directory: Path
    target: str
    client: ModelServerClient
    pid: int

    @property
    def models(self) -> Path:
        """``<served name>/<version>/``."""
        return self.directory / "models"

    def configure(self, versions: Mapping[str, int]) -> None:
        """Replace the configuration file, as whoever relies on its being polled would."""
        write_config(self.directory, versions)

    def reload(self, versions: Mapping[str, int]) -> None:
        """Tell it at once, and return when it says that it has taken the list."""
        self.client.reload(render(_entries(self.models, versions)), deadline=_LOAD_SECONDS)

    def until_available(self, name: str, version: int) -> None:
        """Wait until it says so. Raises `NotUp` where it does not come."""
        end = time.monotonic() + _LOAD_SECONDS
        while time.monotonic() < end:
            status = self.client.status(name, version, deadline=5)
            if status is not None and status.state is LoadState.AVAILABLE:
                return
            time.sleep(_LOOK)
        raise NotUp(f"{self.name} did not load {name} version {version}")


def write_config(directory: Path, versions: Mapping[str, int]) -> None:
    """Write ``models.config`` at once: a server must not read half of it."""
    temporary = directory / ".models.config"
    temporary.write_text(render_text(_entries(directory / "models", versions)))
    temporary.replace(directory / "models.config")


def put(files: Path, directory: Path, name: str, version: int) -> None:
    """Put a version's files below a server's models: complete, then renamed."""
    target = directory / "models" / name / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f"incoming-{version}")
    shutil.copytree(files, hidden)
    hidden.replace(target)


def fetch(store: ObjectStore, prefix: str, files: Sequence[ManifestFile], directory: Path) -> None:
    """Download an artifact's files side by side."""
    for file in files:
        (directory / file.path).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda file: store.read_to(prefix + file.path, directory / file.path), files))


def copy(store: ObjectStore, source: str, target: str, files: Sequence[ManifestFile]) -> None:
    """Copy an artifact's files within the store, side by side."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda file: store.copy(source + file.path, target + file.path, if_generation=0), files))


def ask_recorded(client: ModelServerClient, name: str, version: int, variant: Variant) -> int:
    """The canary's predictions and nothing around them; returns how many.

    The signature check asks the first recorded request, the golden and the sanity check each ask all of them.
    """
    requests = [variant.inputs(case) for case in variant.cases]
    asked = [requests[0], *requests, *requests]
    for inputs in asked:
        client.predict(name, inputs, version=version, signature="serving_default", deadline=10)
    return len(asked)


@contextmanager
def servers(count: int, root: Path, versions: Mapping[str, int], *, poll: int | None) -> Iterator[list[BareServer]]:
    """So many servers on these versions, each polling its file every `poll` seconds; None: never.

    Raises:
        NotUp: one did not come.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(_server(root / f"server-{number}", versions, poll)) for number in range(count)]
        for server in started:
            _until_up(server, versions)
        yield started


def watch(found: Sequence[BareServer]) -> Watch:
    """Asks them."""
    return Watch({server.name: server.target for server in found})


def question(name: str, variant: Variant, above: int) -> Question:
    """The variant's question to a server without labels: whatever version it takes answers."""
    return Question.of(name, variant.question, variant.answer, above=above, label=None)


@contextmanager
def _server(directory: Path, versions: Mapping[str, int], poll: int | None) -> Iterator[BareServer]:
    write_config(directory, versions)
    socket = directory / "server.sock"
    socket.unlink(missing_ok=True)
    flags = ["--port=0", f"--grpc_socket_path={socket}", "--rest_api_port=0", "--max_num_load_retries=0"]
    flags += [f"--model_config_file={directory / 'models.config'}", "--file_system_poll_wait_seconds=1"]
    flags += ["--num_load_threads=4"]
    flags += [f"--model_config_file_poll_wait_seconds={poll}"] if poll is not None else []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "1"}
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.model_server", *flags],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    client = ModelServerClient(f"unix:{socket}")
    try:
        yield BareServer(
            name=directory.name, directory=directory, target=f"unix:{socket}", client=client, pid=process.pid
        )
    finally:
        client.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _until_up(server: BareServer, versions: Mapping[str, int]) -> None:
    if not server.client.answers(deadline=_START_SECONDS):
        log = (server.directory / "server.log").read_text(errors="replace")[-1000:]
        raise NotUp(f"{server.name} did not start: {log}")
    for name, version in versions.items():
        server.until_available(name, version)


def _entries(models: Path, versions: Mapping[str, int]) -> list[ModelEntry]:
    return [
        ModelEntry(name=name, base_path=models / name, versions=(version,))
        for name, version in sorted(versions.items())
    ]
