"""Promotions while Kubernetes is at work: each ends as it should, and a bystander's predictions never fail."""

from __future__ import annotations

import json

import pytest

from roost.contracts.rollout import Phase
from tests.cluster.world import POOL, World

pytestmark = pytest.mark.timeout(900)

_DONE = (Phase.LIVE, Phase.SETTLED)
CANARY = "roost-pool-canary"


def test_a_rollout_restart_in_the_middle_of_a_promotion_ends_with_the_new_version_everywhere(
    world: World, bystander: str
) -> None:
    world.train("yv", "in-the-middle")
    with world.load(bystander) as load:
        world.publish("yv", "in-the-middle")
        world.until_phase("yv", Phase.PROMOTING, *_DONE, run_id="in-the-middle")
        world.kubectl("rollout", "restart", f"deployment/{POOL}")
        live = world.until_phase("yv", *_DONE, run_id="in-the-middle")
        world.settled()
        world.until("every new replica answers", lambda: world.answers_everywhere("yv", live.version), 180)
    assert load.report.failures == []
    phases = [line.after for line in world.ledger.history(live.id)]
    assert len(phases) == len(set(phases)), phases


def test_a_canary_that_crashes_over_and_over_lets_nothing_pass_and_once_it_is_mended_the_rollout_goes_on(
    world: World, bystander: str
) -> None:
    world.train("mq", "crashing-canary")
    broken = {"name": "node", "command": ["roost", "node", "--pool=canary", "--control=0.0.0.0:not-a-port"]}
    with world.load(bystander) as load:
        old = next(iter(world.pods(pool="canary")))
        _patch(world, {"template": {"spec": {"containers": [broken]}}})
        world.until("the new one crashes", lambda: _crashes(world), 120)
        # As the manifests have it, the old one stays beside it: no fault yet. So it is taken away.
        assert old in world.pods(pool="canary")
        _patch(world, {"strategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}})
        world.until("no canary is ready", lambda: not world.pods(pool="canary"), 120)
        world.publish("mq", "crashing-canary")
        world.until_phase("mq", Phase.VETTED, Phase.CANARY, run_id="crashing-canary")
        world.until("it crashes again", lambda: _crashes(world, 3), 120)
        held = world.rollout("mq", "crashing-canary")
        assert held is not None
        assert held.phase in {Phase.VETTED, Phase.CANARY}
        world.kubectl("rollout", "undo", f"deployment/{CANARY}")
        world.settled(CANARY)
        _patch(world, {"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}})
        live = world.until_phase("mq", *_DONE, run_id="crashing-canary", seconds=300)
        assert world.until("every replica answers", lambda: world.answers_everywhere("mq", live.version), 180)
    assert load.report.failures == []


def _patch(world: World, spec: dict[str, object]) -> None:
    world.kubectl("patch", "deployment", CANARY, "-p", json.dumps({"spec": spec}))


def _crashes(world: World, times: int = 1) -> bool:
    pods = world.get("pods", "-l", "roost/pool=canary")["items"]
    found = [one for pod in pods for one in pod["status"].get("containerStatuses", ())]
    return any(one["restartCount"] >= times and not one["ready"] for one in found)
