"""What every workload must do: in memory here, on a real API server with its real controllers in `tests/cluster`.

With ``ROOST_TEST_KUBECONFIG`` it also runs on a cluster of yours, in a namespace of its own that is deleted afterwards.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Protocol

import pytest

from roost.adapters.in_memory.workload import InMemoryWorkload
from roost.contracts.errors import ClusterRefused
from roost.ports.serving import PoolWorkload

pytestmark = pytest.mark.contract


class Stage(Protocol):
    """A pool `default` of three pods, and what becomes of its rolls."""

    @property
    def workload(self) -> PoolWorkload: ...

    def finish(self) -> None:
        """The roll is over: every pod is new and ready."""

    def block(self) -> str:
        """The roll will not get on. Returns what `stuck` must say of it."""


class InMemoryStage:
    """The fake, which rolls when it is told to."""

    def __init__(self) -> None:
        self.workload = InMemoryWorkload({"default": 3})

    def finish(self) -> None:
        self.workload.finish("default")

    def block(self) -> str:
        self.workload.block("default", "the first new pod is not ready")
        return "the first new pod is not ready"


class PoolWorkloadContract:
    """The suite. A class below it brings the fixture `stage`."""

    def test_a_workload_that_nobody_touches_is_done(self, stage: Stage) -> None:
        status = stage.workload.status("default")
        assert (status.desired, status.updated, status.ready, status.done, status.stuck) == (3, 3, 3, True, None)

    def test_a_restart_is_not_done_before_its_pods_are_new(self, stage: Stage) -> None:
        stage.workload.restart("default", order="one")
        status = stage.workload.status("default")
        assert not status.done
        # One pod more than there shall be, at most: the new one, which nobody has called ready yet.
        assert status.updated <= 1
        assert status.ready == 3
        stage.finish()
        status = stage.workload.status("default")
        assert (status.updated, status.ready, status.done) == (3, 3, True)

    def test_the_same_order_again_changes_nothing_and_another_one_rolls_again(self, stage: Stage) -> None:
        stage.workload.restart("default", order="one")
        stage.finish()
        stage.workload.restart("default", order="one")
        assert stage.workload.status("default").done
        stage.workload.restart("default", order="two")
        assert not stage.workload.status("default").done

    def test_a_roll_that_will_not_get_on_says_why_until_the_next_one(self, stage: Stage) -> None:
        stage.workload.restart("default", order="one")
        said = stage.block()
        status = stage.workload.status("default")
        assert not status.done
        assert said
        assert said in (status.stuck or "")
        # The old pods serve on.
        assert status.ready == 3
        stage.workload.restart("default", order="two")
        assert stage.workload.status("default").stuck is None

    def test_a_pool_without_a_workload_is_refused_by_name(self, stage: Stage) -> None:
        with pytest.raises(ClusterRefused, match="nowhere"):
            stage.workload.restart("nowhere", order="one")
        with pytest.raises(ClusterRefused, match="nowhere"):
            stage.workload.status("nowhere")


class TestInMemory(PoolWorkloadContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return InMemoryStage()


class TestOnAClusterOfYours(PoolWorkloadContract):
    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        file = os.environ.get("ROOST_TEST_KUBECONFIG")
        if file is None:
            pytest.skip("no cluster: `make test-cluster` brings one, or ROOST_TEST_KUBECONFIG names yours")
        from kubernetes import client, config

        from tests.cluster.workload import ClusterStage

        with config.new_client_from_config(file) as api:
            core, namespace = client.CoreV1Api(api), f"roost-{uuid.uuid4().hex[:8]}"
            core.create_namespace({"metadata": {"name": namespace}})
            yield ClusterStage(api, api, namespace)
            core.delete_namespace(namespace)
