"""What Kubernetes does to the serving pool: rolls, scaling, evictions. A bystander's predictions never fail."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.cluster.pools import ended, lost_entry, missing_entry, no_failure, refused_in_a_row, told
from tests.cluster.world import POOL, World

pytestmark = pytest.mark.timeout(900)

_ORDER = "roost/restart-order"


def _replicas(world: World, lowest: int, highest: int) -> None:
    """Through the autoscaler, which would undo it otherwise; it has no metrics here, and keeps to its bounds."""
    bounds = {"spec": {"minReplicas": lowest, "maxReplicas": highest}}
    world.kubectl("patch", "hpa", POOL, "--type=merge", "-p", json.dumps(bounds))
    world.until(
        f"{POOL} shall have {lowest}",
        lambda: lowest <= world.get("deployment", POOL)["spec"]["replicas"] <= highest,
        90,
    )
    world.settled()


def test_a_restart_by_hand_rolls_the_pool_with_its_own_rights_and_nothing_fails(world: World, bystander: str) -> None:
    before, since = world.pods(), time.time()
    with no_failure(world, bystander):
        world.kubectl("create", "job", "--from=cronjob/roost-restart", "by-hand")
        job = ended(world, "by-hand")
        assert job["status"].get("succeeded") == 1, world.node.logs("by-hand")
        world.settled()
    after = world.pods()
    assert len(after) == len(before)
    assert not before.keys() & after.keys()
    pod = world.get("pods", "-l", "batch.kubernetes.io/job-name=by-hand")["items"][0]
    assert pod["spec"]["serviceAccountName"] == "roost-restart"
    template = world.get("deployment", POOL)["spec"]["template"]["metadata"]["annotations"]
    assert template[_ORDER]
    said = dict(told(world, since))
    assert said.keys() == {"restart.started", "restart.finished"}
    assert "3 replaced" in said["restart.finished"]
    # Each new pod had everything on disk before it served: its init step says so.
    synced = world.node.logs(next(iter(after)))
    assert "the cache holds generation" in synced


def test_on_its_schedule_the_restart_is_refused_where_an_entry_cannot_load_and_no_pod_is_touched(
    world: World, bystander: str
) -> None:
    before, since = world.pods(), time.time()
    with no_failure(world, bystander), missing_entry(world):
        world.kubectl("patch", "cronjob", "roost-restart", "--type=merge", "-p", '{"spec": {"schedule": "* * * * *"}}')
        try:
            name = world.until("the schedule has made a job", lambda: _scheduled(world), 120)
        finally:
            once = '{"spec": {"schedule": "17 3 * * *"}}'
            world.kubectl("patch", "cronjob", "roost-restart", "--type=merge", "-p", once)
        job = ended(world, name)
        assert job["status"].get("failed") == 1, world.node.logs(name)
    assert world.pods().keys() == before.keys()
    said = told(world, since)
    assert [what for what, _ in said] == ["restart.refused"]
    assert "zz-bad.default version 1 fails to load on every node" in said[0][1]


def _scheduled(world: World) -> str | None:
    jobs = world.get("jobs")["items"]
    return next((one["metadata"]["name"] for one in jobs if one["metadata"]["name"].startswith("roost-restart-")), None)


def test_a_roll_whose_first_new_pod_cannot_sync_stops_there_and_goes_on_once_the_entry_is_gone(
    world: World, bystander: str
) -> None:
    """The boot test before it sees nothing: every replica serves the entry whose files are gone."""
    world.settled()
    before, since = world.pods(), time.time()
    try:
        with no_failure(world, bystander):
            with lost_entry(world, bystander):
                world.kubectl("create", "job", "--from=cronjob/roost-restart", "cannot-sync")
                world.until("a new pod has failed to sync", lambda: _failed_to_sync(world, before), 300)
                _give_up_after(world, 1)
                job = ended(world, "cannot-sync")
                assert job["status"].get("failed") == 1, world.node.logs("cannot-sync")
                world.until("the old pods are all there and ready", lambda: world.pods().keys() == before.keys(), 180)
                assert len(world.pods(ready=False)) == len(before) + 1
                # What the alert RoostRestartRefused asks; the job's own pod is gone by then.
                world.until("the deployer tells of it", lambda: refused_in_a_row(world) == _refusals(world), 120)
            _give_up_after(world, 900)
            world.settled(seconds=400)
    finally:
        _give_up_after(world, 900)
    assert not before.keys() & world.pods().keys()
    (started, _), (refused, reason) = told(world, since)
    assert (started, refused) == ("restart.started", "restart.refused")
    for part in ("its old pods go on serving", "1 of 3 pods are new", "container sync", "has timed out"):
        assert part in reason
    assert "models/zz-lost/default/1/MANIFEST.json does not exist" in reason


def _refusals(world: World) -> int:
    """By the events: one at least, the newest."""
    count = 0
    for what, _ in told(world, 0):
        count = 0 if what == "restart.finished" else count + (what == "restart.refused")
    assert count >= 1
    return count


def _failed_to_sync(world: World, before: dict[str, str]) -> bool:
    pods = world.get("pods", "-l", "roost/pool=default")["items"]
    new = [pod for pod in pods if pod["metadata"]["name"] not in before]
    steps = [step for pod in new for step in pod["status"].get("initContainerStatuses", ())]
    return any("terminated" in state for step in steps for state in (step["state"], step["lastState"]))


def _give_up_after(world: World, seconds: int) -> None:
    """A quarter of an hour in the manifests; from now on the controller gives up what did not move for so long."""
    patch = {"spec": {"progressDeadlineSeconds": seconds}}
    world.kubectl("patch", "deployment", POOL, "-p", json.dumps(patch))


def test_the_pool_grows_from_three_to_five_and_shrinks_to_two(world: World, bystander: str) -> None:
    with no_failure(world, bystander):
        try:
            _replicas(world, 5, 5)
            assert len(world.pods()) == 5
            _replicas(world, 2, 2)
            assert len(world.pods()) == 2
        finally:
            _replicas(world, 3, 3)


def test_a_deleted_pod_is_replaced_and_the_budget_allows_one_eviction_at_a_time(world: World, bystander: str) -> None:
    with no_failure(world, bystander):
        first, second, third = sorted(world.pods())
        world.kubectl("delete", "pod", first, "--wait=false")
        world.settled()
        # It takes the budget a moment to see the new pod.
        world.until("an eviction is allowed", lambda: world.get("pdb", POOL)["status"]["disruptionsAllowed"] == 1, 180)
        assert _evict(world, second) is None
        refused = _evict(world, third)
        assert refused is not None
        assert refused.startswith("429: ")
        assert "disruption budget" in refused
        world.settled()
    assert {first, second}.isdisjoint(world.pods())
    assert third in world.pods()


@pytest.mark.parametrize("dies", ["gateway", "node"])
def test_a_container_that_dies_comes_back_in_its_pod_and_the_other_replicas_go_on(
    world: World, bystander: str, dies: str
) -> None:
    before, name = world.pods(), min(world.pods())
    live = world.rollout(bystander)
    assert live is not None
    counted = _restarts(world, name)
    place = next(world.node.directory.glob(f"*_{name}_*")) / dies / "pid"
    os.kill(int(place.read_text()), signal.SIGKILL)
    world.until("it was started again", lambda: _restarts(world, name)[dies] == counted[dies] + 1, 120)
    world.settled()
    world.until("every replica answers", lambda: world.answers_everywhere(bystander, live.version), 180)
    assert world.pods() == before
    # A node that comes back starts its gateway anew; a gateway that does, nobody else.
    after = _restarts(world, name)
    assert (after["node"], after["gateway"]) == (counted["node"] + (dies == "node"), counted["gateway"] + 1)


def _restarts(world: World, name: str) -> dict[str, int]:
    """By container."""
    status = world.get("pod", name)["status"]
    return {
        one["name"]: one["restartCount"] for one in (*status["initContainerStatuses"], *status["containerStatuses"])
    }


def _evict(world: World, pod: str) -> str | None:
    """What the API server refuses an eviction with; None where it does not."""
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    with world.cluster.client() as api:
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace="roost"))
        try:
            client.CoreV1Api(api).create_namespaced_pod_eviction(pod, "roost", eviction)
        except ApiException as error:
            return f"{error.status}: {error.body}"
    return None
