"""The SavedModels, written once, and one server that the tests which change nothing share."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.model_server import built_models
from tests.integration.model_server.bases import Bases
from tests.integration.model_server.running import DROP_IN, RunningServer, config, starting

Start = Callable[..., RunningServer]

MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of small SavedModels, written by TensorFlow in a process of its own."""
    directory = tmp_path_factory.mktemp("saved-models")
    built_models.copy_to(directory)
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
    """Starts drop-in servers of the test's own, ended with it."""
    with starting(DROP_IN) as begin:
        yield begin


@pytest.fixture
def bases(saved_models: Path, tmp_path: Path) -> Bases:
    """Base paths of the test's own. Their models' names are its own too: what ended is told for ever."""
    return Bases(saved_models, tmp_path)
