"""Airflow with a database of its own, in child processes: importing it warns, patches and reads the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.adapters.gcs import open_store
from roost.ports.object_store import ObjectStore
from roost.settings import StorageSettings
from tests.parts import gcs_server

ROOT = Path(__file__).resolve().parents[3]
InAirflow = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    with gcs_server(tmp_path_factory.mktemp("gcs")) as settings:
        yield settings


@pytest.fixture
def store(storage: StorageSettings) -> ObjectStore:
    return open_store(storage)


@pytest.fixture(scope="session")
def airflow_environment(tmp_path_factory: pytest.TempPathFactory, storage: StorageSettings) -> dict[str, str]:
    """Environment of a migrated Airflow that knows the DAGs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ROOST_", "AIRFLOW"))}
    environment = {
        **inherited,
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "PYTHONPATH": str(ROOT),
        "ROOST_STORAGE__ENDPOINT": storage.endpoint or "",
        "ROOST_STORAGE__BUCKET": storage.bucket,
        "ROOST_CONSOLE__URL": "http://console.test:8088",
    }
    for command in (["db", "migrate"], ["dags", "reserialize"]):
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    return environment


@pytest.fixture
def in_airflow(airflow_environment: dict[str, str]) -> InAirflow:
    """Runs `in_airflow.py ARGUMENTS` with further settings by keyword; gives what it printed."""

    def call(*arguments: str, **settings: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("in_airflow.py")), *arguments],
            env={**airflow_environment, **settings}, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return call
