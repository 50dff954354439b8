"""The canary is asked what the customer really asked, where the policy has that recorded."""

from __future__ import annotations

import numpy as np
import pytest

from roost.adapters.recordings import StoredRecordings
from roost.contracts.policy import Policy
from roost.contracts.rollout import Phase
from roost.ports.recordings import RecordedRequest
from roost.ports.serving import Tensors
from tests.unit.deployer.world import World

ODD = 0.987


def nan_for_the_odd_one(inputs: Tensors) -> Tensors:
    x = np.asarray(inputs["x"], np.float32)
    return {"score": np.where(np.isclose(x, ODD), np.nan, x).astype(np.float32)[:, None]}


@pytest.mark.parametrize(("rate", "phase"), [(0.01, Phase.REJECTED), (0, Phase.LIVE)])
def test_a_model_that_answers_nan_to_what_a_customer_asked_goes_no_further(rate: float, phase: Phase) -> None:
    world = World(Policy.model_validate({"rules": {"taps": {"rate": rate}}}))
    request = RecordedRequest(at=world.clock.now(), version=1, inputs={"x": np.array([ODD], np.float32)})
    StoredRecordings(world.store, world.clock).keep("ua.default", [request], node="node-1")
    world.canary.answer("ua.default", 1, nan_for_the_odd_one)

    row = world.rollout(world.deploy(golden=[{"inputs": {"x": [0.5]}, "outputs": {"score": [[0.5]]}}]))

    assert row.phase is phase, row.reason
    assert ("answers NaN" in row.reason) is (phase is Phase.REJECTED)
