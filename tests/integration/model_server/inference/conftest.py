"""One server of the models that ask for more than the plain ones do; tests leave it as it is.

They run against the drop-in server and, where there is one, against the official binary.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.model_server.conformance.conftest import PROGRAMS
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import RunningServer, config, starting

MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'
MODELS = ("census", "tagged", "dtypes", "rows", "native", "tables", "default", "text", "scale")


@pytest.fixture(scope="session", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Sequence[str]:
    """The command line of the server under test, as far as its flags."""
    return PROGRAMS[request.param]


@pytest.fixture
def start(program: Sequence[str]) -> Iterator[Start]:
    """Starts servers of the test's own, ended with it."""
    with starting(program) as begin:
        yield begin


@pytest.fixture(scope="session")
def asked(
    program: Sequence[str], saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A running server with these models."""
    monitoring = tmp_path_factory.mktemp("monitoring") / "monitoring.config"
    monitoring.write_text(MONITORING)
    with starting(program) as begin:
        yield begin(
            f"--monitoring_config_file={monitoring}",
            "--num_load_threads=2",
            models=config({each: saved_models / each for each in MODELS}),
        )
