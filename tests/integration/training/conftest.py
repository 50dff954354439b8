"""A real object store, and training as a pod runs it: `python -m training` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.adapters.gcs import open_store
from roost.ports.object_store import ObjectStore
from roost.settings import StorageSettings
from tests.parts import gcs_server

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a training process ended."""

    code: int
    said: str
    printed: str

    @property
    def facts(self) -> dict[str, object]:
        """Its line of JSON."""
        assert self.code == 0, self.said
        found: dict[str, object] = json.loads(self.printed)
        return found


Training = Callable[..., Ended]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    with gcs_server(tmp_path_factory.mktemp("gcs")) as settings:
        yield settings


@pytest.fixture(scope="session")
def store(storage: StorageSettings) -> ObjectStore:
    return open_store(storage)


@pytest.fixture(scope="session")
def training(storage: StorageSettings) -> Training:
    """Runs `python -m training ARGUMENTS` with further settings by keyword."""

    def run(*arguments: str, **settings: str) -> Ended:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        environment = {
            **inherited,
            "ROOST_STORAGE__ENDPOINT": storage.endpoint or "",
            "ROOST_STORAGE__BUCKET": storage.bucket,
            **settings,
        }
        done = subprocess.run(
            [sys.executable, "-m", "training", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        return Ended(code=done.returncode, said=done.stderr, printed=done.stdout)

    return run
