"""From the desired object to answers through the gateway, on real parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roost.adapters.tf_serving import ModelServerClient
from roost.contracts.acks import VersionState
from roost.contracts.errors import ModelServerUnavailable, Permanent
from serving.node.model_config import render
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def test_a_new_node_serves_the_current_generation_before_it_is_ready(
    shelf: Shelf, gcs: StoreProcess, make_node: Callable[..., RunningNode]
):
    shelf.put("ua.default", 1, "one")
    generation = shelf.desire({"ua.default": ([1], {"stable": 1})})
    gcs.stop()
    node = make_node()
    node.start()
    # It cannot know the current generation yet.
    assert not node.ready()
    gcs.start()
    state = node.settle(generation, nudge=False)
    node.await_ready()
    assert state.converged
    assert state.serves("ua.default", 1)
    assert state.model("ua.default").flipped_at is not None
    assert node.answer("ua.default") == 1.0
    assert node.rest("ua.default") == 1.0
    with pytest.raises(Permanent, match="Unrecognized servable version label: stable"):
        node.answer("zz.default")
    with pytest.raises(Permanent, match="9"):
        node.answer("ua.default", version=9)
    outside = ModelServerClient(node.address.grpc)
    with pytest.raises(Permanent):
        outside.reload(render([]), deadline=60)
    outside.close()
    assert node.answer("ua.default") == 1.0
    assert node.stop() == 0
    with pytest.raises(ModelServerUnavailable):
        node.answer("ua.default")


def test_a_promotion_loads_then_flips_then_unloads(shelf: Shelf, make_node: Callable[..., RunningNode]):
    shelf.put("ua.default", 1, "one")
    shelf.put("ua.default", 2, "two")
    shelf.desire({"ua.default": ([1], {"stable": 1})})
    node = make_node()
    node.start()
    node.await_ready()
    loaded = node.settle(shelf.desire({"ua.default": ([1, 2], {"stable": 1})}))
    assert loaded.model("ua.default").state_of(2).state is VersionState.PROVEN
    assert node.answer("ua.default") == 1.0
    flipped = node.settle(shelf.desire({"ua.default": ([1, 2], {"stable": 2, "previous": 1})}))
    assert flipped.serves("ua.default", 2)
    assert flipped.model("ua.default").labels == {"stable": 2, "previous": 1}
    assert flipped.model("ua.default").flipped_at > loaded.model("ua.default").flipped_at
    assert node.answer("ua.default") == 2.0
    assert node.answer("ua.default", version=1) == 1.0
    node.settle(shelf.desire({"ua.default": ([2], {"stable": 2})}))
    eventually(lambda: [entry.version for entry in node.state().model("ua.default").versions] == [2], "1 is unloaded")
