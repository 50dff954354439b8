"""One server of the models that ask for more than the plain ones do; tests leave it as it is."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.model_server.running import RunningServer, config

MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'
MODELS = ("census", "tagged", "dtypes", "rows", "native", "tables", "default", "text", "scale")


@pytest.fixture(scope="session")
def asked(saved_models: Path) -> Iterator[RunningServer]:
    """A running server with these models."""
    with tempfile.TemporaryDirectory(prefix="roost-ms-", dir="/tmp") as name:
        directory = Path(name)
        (directory / "models.config").write_text(config({each: saved_models / each for each in MODELS}))
        (directory / "monitoring.config").write_text(MONITORING)
        server = RunningServer(
            directory,
            f"--model_config_file={directory}/models.config",
            f"--monitoring_config_file={directory}/monitoring.config",
            "--num_load_threads=2",
        )
        try:
            yield server.wait_until_ready()
        finally:
            assert server.stop() == 0, server.log.read_text()
