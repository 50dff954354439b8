"""The servers that must behave the same: the drop-in one always, the official one where there is one."""

from collections.abc import Iterator, Sequence

import pytest

from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import DROP_IN, FAST, RunningServer, official_server, starting

OFFICIAL = official_server()
PROGRAMS: dict[str, Sequence[str]] = {"drop-in": DROP_IN} | ({"official": (OFFICIAL,)} if OFFICIAL else {})


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
def strict_server(program: Sequence[str]) -> Iterator[RunningServer]:
    """One server for the tests that bring their own models by reload."""
    with starting(program) as begin:
        yield begin(*FAST, models="model_config_list {}")


@pytest.fixture(scope="session")
def lenient_server(program: Sequence[str]) -> Iterator[RunningServer]:
    """One that lets unused labels name unavailable versions."""
    with starting(program) as begin:
        flag = "--allow_version_labels_for_unavailable_models=true"
        yield begin(*FAST, flag, models="model_config_list {}")


@pytest.fixture
def server(strict_server: RunningServer) -> RunningServer:
    """That server, with an empty list."""
    strict_server.reload("model_config_list {}")
    return strict_server


@pytest.fixture
def lenient(lenient_server: RunningServer) -> RunningServer:
    """That server, with an empty list."""
    lenient_server.reload("model_config_list {}")
    return lenient_server
