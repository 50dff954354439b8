"""The stack is started once for all end-to-end tests; each of them uses customers of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.embedded import addresses, leftovers, ports
from roost.embedded.state_dir import StateDir
from tests.e2e.world import World


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Everything that `roost up` starts, ready, on the broker that ``--bus`` names."""
    bus = request.config.getoption("--bus")
    if bus == "apache":
        # Skips where it cannot be had, and fetches it before the clock of the start runs.
        request.getfixturevalue("kafka_program")
    directory = Path(tempfile.mkdtemp(prefix="roost e2e "))
    found = World(directory / "state", bus)
    try:
        found.up()
        yield found
    finally:
        found.close()
        known = addresses.load(StateDir.at(found.state))
        found.run("down", check=False)
        shutil.rmtree(directory, ignore_errors=True)
    assert known is not None
    assert leftovers.find(known.id) == []
    assert [name for name, port in known.ports.items() if not ports.is_free(port)] == []
