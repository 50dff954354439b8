"""The object store, on its fake and on the real part, for the ports that stand on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from roost.adapters.gcs import open_store
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.ports.object_store import ObjectStore
from roost.settings import StorageSettings
from tests.parts import gcs_server


@pytest.fixture(scope="module")
def real_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageSettings]:
    with gcs_server(tmp_path_factory.mktemp("gcs")) as settings:
        yield settings


@pytest.fixture(params=["in-memory", "gcs"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """A bucket that nobody else writes to."""
    if request.param == "in-memory":
        return InMemoryObjectStore()
    settings: StorageSettings = request.getfixturevalue("real_settings")
    return open_store(settings.model_copy(update={"bucket": f"b-{uuid.uuid4().hex}"}))
