"""The real Airflow beside the cluster: API server, scheduler and DAG processor, tasks as its own processes.

In production its tasks are pods of their own, by Airflow's chart, which is not run here.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.agent.images import REPOSITORY
from tests.cluster.network import HOST
from tests.cluster.processes import running, tail, until

#: As the overlay's config map and secret have it.
URL: Final = "http://airflow-api-server:8080"
_USER: Final = "roost"
_PASSWORD: Final = "local-only"
_DATABASE: Final = "airflow:local-only@postgres:5432/airflow"
_SECONDS: Final = 300.0
_START: Final = """
    "$0" -m airflow db migrate
    "$0" -m airflow scheduler &
    "$0" -m airflow dag-processor &
    exec "$0" -m airflow api-server
"""


@contextmanager
def started(directory: Path, parts: dict[str, str]) -> Iterator[None]:
    """On its way; `awaited` waits until it answers. `parts` are the settings by which its tasks find the others."""
    home = directory / "airflow"
    home.mkdir()
    command = ("sh", "-ec", _START, sys.executable)
    with running("airflow", command, directory, environment=_environment(home) | parts):
        yield


def awaited(directory: Path) -> None:
    """Until scheduler and DAG processor are healthy, and so runs are taken."""

    def healthy() -> bool:
        with urllib.request.urlopen(f"{URL}/api/v2/monitor/health", timeout=5) as answer:
            document = json.load(answer)
        return all(document[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor"))

    until("Airflow is healthy", healthy, _SECONDS, told=lambda: tail(directory / "airflow.log", 60))


def _environment(home: Path) -> dict[str, str]:
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({_USER: _PASSWORD}))
    secret = secrets.token_hex(16)
    values = {
        "CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "CORE__EXECUTION_API_SERVER_URL": f"{URL}/execution/",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{_DATABASE}",
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{_DATABASE}",
        "API__HOST": HOST,
        "API__PORT": "8080",
        "API__BASE_URL": URL,
        "API__WORKERS": "1",
        "API__SECRET_KEY": secret,
        "API_AUTH__JWT_SECRET": secret,
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "AIRFLOW_"))}
    ours = {f"AIRFLOW__{name}": value for name, value in values.items()}
    return kept | ours | {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
