from __future__ import annotations

import pytest

from tests.unit.node_app.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.serve("ua.default", 3)
    return world
