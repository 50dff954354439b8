"""What every workload must do: in memory, and on a real API server where one is given.

With ``ROOST_TEST_KUBECONFIG`` the suite makes Deployments in a namespace of its own. It plays their controller by writing
their status, so it needs an API server and nothing else of a cluster.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from roost.adapters.in_memory.workload import InMemoryWorkload
from roost.contracts.errors import ClusterRefused
from roost.ports.serving import PoolWorkload

pytestmark = pytest.mark.contract


class Stage(Protocol):
    """A pool `default` of three pods, and what its controller would do."""

    workload: PoolWorkload

    def finish(self) -> None: ...

    def block(self, reason: str) -> None: ...


class InMemoryStage:
    def __init__(self) -> None:
        self.workload = self._workload = InMemoryWorkload({"default": 3})

    def finish(self) -> None:
        self._workload.finish("default")

    def block(self, reason: str) -> None:
        self._workload.block("default", reason)


class ClusterStage:
    """One Deployment on a real API server."""

    NAME = "roost-pool-default"

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        from roost.adapters.kubernetes import Cluster, KubernetesWorkload

        self._apps, self._namespace = client.AppsV1Api(api), namespace
        labels = {"roost/pool": "default"}
        container = {"name": "node", "image": "roost-serving:0.1.0"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
        self._apps.create_namespaced_deployment(namespace, {"metadata": {"name": self.NAME}, "spec": spec})
        self.workload = KubernetesWorkload(Cluster(api=api, namespace=namespace, host=api.configuration.host))
        self.finish()

    def finish(self) -> None:
        self._write(updated=3, conditions=[])

    def block(self, reason: str) -> None:
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": reason}
        self._write(updated=1, conditions=[condition])

    def _write(self, *, updated: int, conditions: list[dict[str, str]]) -> None:
        now = self._apps.read_namespaced_deployment(self.NAME, self._namespace).metadata.generation
        counts = {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": updated}
        status = {"observedGeneration": now, "conditions": conditions, **counts}
        self._apps.patch_namespaced_deployment_status(self.NAME, self._namespace, {"status": status})


@pytest.fixture(params=["memory", "cluster"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "memory":
        yield InMemoryStage()
        return
    file = os.environ.get("ROOST_TEST_KUBECONFIG")
    if file is None:
        pytest.skip("no API server: ROOST_TEST_KUBECONFIG names none (tier 2)")
    from kubernetes import client, config

    api, namespace = config.new_client_from_config(file), f"roost-{uuid.uuid4().hex[:8]}"
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": namespace}})
    yield ClusterStage(api, namespace)
    core.delete_namespace(namespace)


def test_a_workload_that_nobody_touches_is_done(stage: Stage) -> None:
    status = stage.workload.status("default")
    assert (status.desired, status.updated, status.ready, status.done, status.stuck) == (3, 3, 3, True, None)


def test_a_restart_is_not_done_before_its_pods_are_new(stage: Stage) -> None:
    stage.workload.restart("default", order="one")
    status = stage.workload.status("default")
    assert (status.updated, status.done) == (0, False)
    stage.finish()
    assert stage.workload.status("default").done


def test_the_same_order_again_changes_nothing_and_another_one_rolls_again(stage: Stage) -> None:
    stage.workload.restart("default", order="one")
    stage.finish()
    stage.workload.restart("default", order="one")
    assert stage.workload.status("default").done
    stage.workload.restart("default", order="two")
    assert not stage.workload.status("default").done


def test_a_roll_that_will_not_get_on_says_why_until_the_next_one(stage: Stage) -> None:
    stage.workload.restart("default", order="one")
    stage.block("the first new pod is not ready")
    status = stage.workload.status("default")
    assert not status.done
    assert "the first new pod is not ready" in (status.stuck or "")
    stage.workload.restart("default", order="two")
    assert stage.workload.status("default").stuck is None


def test_a_pool_without_a_workload_is_refused_by_name(stage: Stage) -> None:
    with pytest.raises(ClusterRefused, match="nowhere"):
        stage.workload.restart("nowhere", order="one")
    with pytest.raises(ClusterRefused, match="nowhere"):
        stage.workload.status("nowhere")
