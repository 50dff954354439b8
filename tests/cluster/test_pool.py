"""What Kubernetes does to the serving pool: rolls, scaling, evictions. A bystander's predictions never fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.events import OperationReported
from roost.contracts.ids import desired_object
from tests.cluster.world import POOL, World, storage

pytestmark = pytest.mark.timeout(900)

_ORDER = "roost/restart-order"


@contextmanager
def _no_failure(world: World, bystander: str) -> Iterator[None]:
    """A load through the Service, of which nothing may fail; and every replica answers with the live version after."""
    live = world.rollout(bystander)
    assert live is not None
    with world.load(bystander) as load:
        world.until("the load is on", lambda: load.report.total >= 20, 60)
        yield
        world.until("every replica answers", lambda: world.answers_everywhere(bystander, live.version), 60)
    assert load.report.failures == []


def _job(world: World, name: str, seconds: float = 400) -> Any:
    """The Job once it has ended."""

    def ended() -> Any:
        job = world.get("job", name)
        kinds = {one["type"] for one in job["status"].get("conditions", ()) if one["status"] == "True"}
        return job if kinds & {"Complete", "Failed"} else None

    return world.until(f"{name} has ended", ended, seconds)


def _told(world: World, since: float) -> list[tuple[str, str]]:
    """(what, reason) of the pool's operations since then, oldest first."""
    found = [event for event in world.events() if isinstance(event.data, OperationReported)]
    data = [event.data for event in reversed(found) if event.time.timestamp() >= since]
    return [(one.what, one.reason) for one in data if isinstance(one, OperationReported) and one.pool == "default"]


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
    with _no_failure(world, bystander):
        world.kubectl("create", "job", "--from=cronjob/roost-restart", "by-hand")
        job = _job(world, "by-hand")
        assert job["status"].get("succeeded") == 1, world.node.logs("by-hand")
        world.settled()
    after = world.pods()
    assert len(after) == len(before)
    assert not before.keys() & after.keys()
    pod = world.get("pods", "-l", "batch.kubernetes.io/job-name=by-hand")["items"][0]
    assert pod["spec"]["serviceAccountName"] == "roost-restart"
    template = world.get("deployment", POOL)["spec"]["template"]["metadata"]["annotations"]
    assert template[_ORDER]
    told = dict(_told(world, since))
    assert told.keys() == {"restart.started", "restart.finished"}
    assert "3 replaced" in told["restart.finished"]
    # Each new pod had everything on disk before it served: its init step says so.
    synced = world.node.logs(next(iter(after)))
    assert "the cache holds generation" in synced


def test_on_its_schedule_the_restart_is_refused_where_an_entry_cannot_load_and_no_pod_is_touched(
    world: World, bystander: str
) -> None:
    before, since = world.pods(), time.time()
    with _no_failure(world, bystander), _bad_entry(world):
        world.kubectl("patch", "cronjob", "roost-restart", "--type=merge", "-p", '{"spec": {"schedule": "* * * * *"}}')
        try:
            name = world.until("the schedule has made a job", lambda: _scheduled(world), 120)
        finally:
            once = '{"spec": {"schedule": "17 3 * * *"}}'
            world.kubectl("patch", "cronjob", "roost-restart", "--type=merge", "-p", once)
        job = _job(world, name)
        assert job["status"].get("failed") == 1, world.node.logs(name)
    assert world.pods().keys() == before.keys()
    told = _told(world, since)
    assert [what for what, _ in told] == ["restart.refused"]
    assert "zz-bad.default version 1 fails to load on every node" in told[0][1]


def _scheduled(world: World) -> str | None:
    jobs = world.get("jobs")["items"]
    return next((one["metadata"]["name"] for one in jobs if one["metadata"]["name"].startswith("roost-restart-")), None)


@contextmanager
def _bad_entry(world: World) -> Iterator[None]:
    """A version in the desired state whose files are not there; taken out again at the end."""
    digest = "sha256:" + "0" * 64
    version = DesiredVersion(version=1, digest=digest, rollout_id="none")
    _rewrite(world, add=DesiredModel(name="zz-bad.default", versions=(version,)))
    try:
        yield
    finally:
        _rewrite(world, add=None)


def _rewrite(world: World, add: DesiredModel | None) -> None:
    store, name = storage(), desired_object("default")
    content, stored = store.read(name)
    now = DesiredState.decoded(content)
    kept = tuple(model for model in now.models if model.name != "zz-bad.default")
    models = tuple(sorted((*kept, *((add,) if add else ())), key=lambda model: model.name))
    after = DesiredState(pool="default", generation=now.generation + 1, models=models, reason="a test")
    world.ledger.reserve_generation("default", after.generation)
    store.write(name, after.encoded(), if_generation=stored.generation, metadata=stored.metadata)


def test_the_pool_grows_from_three_to_five_and_shrinks_to_two(world: World, bystander: str) -> None:
    with _no_failure(world, bystander):
        try:
            _replicas(world, 5, 5)
            assert len(world.pods()) == 5
            _replicas(world, 2, 2)
            assert len(world.pods()) == 2
        finally:
            _replicas(world, 3, 3)


def test_a_deleted_pod_is_replaced_and_the_budget_allows_one_eviction_at_a_time(world: World, bystander: str) -> None:
    with _no_failure(world, bystander):
        first, second, third = sorted(world.pods())
        world.kubectl("delete", "pod", first, "--wait=false")
        world.settled()
        # It takes the budget a moment to see the new pod.
        world.until("an eviction is allowed", lambda: world.get("pdb", POOL)["status"]["disruptionsAllowed"] == 1, 60)
        assert _evict(world, second) is None
        refused = _evict(world, third)
        assert refused is not None
        assert refused.startswith("429: ")
        assert "disruption budget" in refused
        world.settled()
    assert {first, second}.isdisjoint(world.pods())
    assert third in world.pods()


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
