"""The SavedModels, written once, and one server that the tests which change nothing share."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.model_server.running import RunningServer, config

Start = Callable[..., RunningServer]

MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of small SavedModels, written by TensorFlow in a process of its own."""
    directory = tmp_path_factory.mktemp("saved-models")
    program = Path(__file__).with_name("saved_models.py")
    done = subprocess.run([sys.executable, str(program), str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="session")
def shared(saved_models: Path) -> Iterator[RunningServer]:
    """A running server with all models; `scale` in all versions, its labels set. Tests leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="roost-ms-", dir="/tmp") as name:
        directory = Path(name)
        models = {each: saved_models / each for each in ("scale", "echo", "odd", "words", "keras", "warm")}
        labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
        text = config(models, scale=f"model_version_policy {{ all {{}} }} {labels}")
        (directory / "models.config").write_text(text)
        (directory / "monitoring.config").write_text(MONITORING)
        server = RunningServer(
            directory,
            f"--model_config_file={directory}/models.config",
            f"--monitoring_config_file={directory}/monitoring.config",
            "--allow_version_labels_for_unavailable_models",
            "--num_load_threads=2",
        )
        try:
            yield server.wait_until_ready()
        finally:
            assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers of the test's own, ended with it. A short path: a Unix socket's may have about 100 characters."""
    root = Path(tempfile.mkdtemp(prefix="roost-ms-", dir="/tmp"))
    servers: list[RunningServer] = []

    def begin(*arguments: str, models: str | None = None, ready: bool = True) -> RunningServer:
        directory = root / str(len(servers))
        directory.mkdir()
        if models is not None:
            (directory / "models.config").write_text(models)
            arguments = (f"--model_config_file={directory}/models.config", *arguments)
        server = RunningServer(directory, *arguments)
        servers.append(server)
        return server.wait_until_ready() if ready else server

    yield begin
    for server in servers:
        server.stop()
    shutil.rmtree(root, ignore_errors=True)
