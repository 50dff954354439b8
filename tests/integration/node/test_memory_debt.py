"""The memory-debt meter on a real model server that really loads and unloads, and what a rolling restart makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deployer.restart.choice import why
from roost.contracts.acks import NodeChange
from roost.contracts.policy import RestartPolicy
from tests.integration.node.tiny_models import BALLAST_BYTES
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA, AA = "ua.default", "aa.default"
MIB = 2**20


#: Settings of the C library's allocator: by its own rules large blocks go back at once; so none ever does.
KEEPS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000"}


@pytest.mark.parametrize("allocator", [{}, KEEPS], ids=["gives back", "keeps"])
def test_what_a_model_took_and_what_it_left_behind_is_measured_and_decides_a_restart(
    shelf: Shelf, make_node: Callable[..., RunningNode], allocator: dict[str, str]
):
    shelf.put(AA, 1, "one")
    for version in (1, 2):
        shelf.put(UA, version, "heavy")
    served = {AA: ([1], {"stable": 1})}
    shelf.desire(served)
    node = make_node(**allocator)
    node.start()
    node.await_ready()
    for version in (1, 2):
        grown = node.settle(shelf.desire({**served, UA: ([version], {"stable": version})}))
        assert grown.models_bytes > BALLAST_BYTES
    node.settle(shelf.desire(served))
    eventually(lambda: len(told(node, "unloaded")) == 2, "both unloads are told")
    for one in told(node, "proven"):
        assert 0.9 * BALLAST_BYTES < one.memory_bytes < 3 * BALLAST_BYTES
        assert one.seconds > 0
    state = node.state()
    given_back = sum(one.memory_before_bytes - one.memory_after_bytes for one in told(node, "unloaded"))
    owed = sum(one.memory_bytes for one in told(node, "proven"))
    assert state.leaked_bytes == pytest.approx(max(0, owed - given_back), abs=16 * MIB)
    assert node.metric("roost_node_leaked_bytes") == pytest.approx(state.leaked_bytes, abs=8 * MIB)
    reason = why(state, state.generation, RestartPolicy(leaked_mb=BALLAST_BYTES / MIB / 2), always=False)
    if not allocator:
        assert reason is None, state
        return
    if state.leaked_bytes < BALLAST_BYTES / 2:
        pytest.skip("the allocator gave the memory back all the same, as it may: there is no debt to decide on")
    assert reason is not None, state
    assert "no reload gives them back" in reason
    node.control.restart(node.address, deadline=30)
    eventually(lambda: node.state().restarts == 1 and node.ready(), "it has a fresh server")
    assert why(node.state(), state.generation, RestartPolicy(leaked_mb=1), always=False) is None


def told(node: RunningNode, what: str) -> list[NodeChange]:
    """What it says of UA."""
    return [change for change in node.changes() if change.what == what and change.name == UA]
