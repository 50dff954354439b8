"""The Kubernetes adapter on a real API server and its real controllers, with the tokens of the accounts that use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from kubernetes import client

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.kubernetes import Cluster as Connection
from roost.adapters.kubernetes import KubernetesDirectory
from tests.cluster.accounts import Account, install_rights
from tests.cluster.by_hand import PoolByHand, pod_spec, tell
from tests.cluster.control_plane import Cluster
from tests.cluster.processes import until
from tests.cluster.workload import ClusterStage
from tests.contract.test_pool_workload import PoolWorkloadContract, Stage

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Iterator[client.ApiClient]:
    with cluster.client() as api:
        yield api


@pytest.fixture
def namespace(cluster: Cluster, admin: client.ApiClient) -> Iterator[str]:
    """A namespace of the test's own with the manifests' accounts and rights, restricted as theirs."""
    name = f"roost-{uuid.uuid4().hex[:8]}"
    install_rights(cluster, name)
    core = client.CoreV1Api(admin)
    until("its default account is there", lambda: "default" in _accounts(core, name), 180)
    yield name
    core.delete_namespace(name)


def _accounts(core: client.CoreV1Api, namespace: str) -> set[str]:
    return {one.metadata.name for one in core.list_namespaced_service_account(namespace).items}


class TestWorkloadByTheRestartsOwnToken(PoolWorkloadContract):
    """The same cases as in memory."""

    @pytest.fixture
    def stage(self, cluster: Cluster, admin: client.ApiClient, namespace: str) -> Iterator[Stage]:
        with closing(Account(cluster, "roost-restart", namespace)) as restart:
            yield ClusterStage(admin, restart.api, namespace)


class TestDirectoryByTheDeployersOwnToken:
    @pytest.fixture
    def directory(self, cluster: Cluster, namespace: str) -> Iterator[KubernetesDirectory]:
        with closing(Account(cluster, "roost-deployer", namespace)) as deployer:
            connection = Connection(api=deployer.api, namespace=namespace, host=cluster.url)
            yield KubernetesDirectory(connection, ManualClock())

    def test_a_pool_that_nobody_has_is_empty(self, directory: KubernetesDirectory) -> None:
        assert directory.nodes("default") == ()

    def test_a_deployments_pods_are_the_nodes_and_their_ports_the_doors(
        self, directory: KubernetesDirectory, admin: client.ApiClient, namespace: str
    ) -> None:
        PoolByHand(admin, namespace).create(address="192.0.2.7")
        PoolByHand(admin, namespace, pool="canary", replicas=1).create(address="2001:db8::1")
        found = directory.nodes("default")
        assert len(found) == 3
        assert {(one.control, one.rest, one.grpc) for one in found} == {
            ("192.0.2.7:8502", "192.0.2.7:8501", "192.0.2.7:8500")
        }
        assert all(one.node.startswith("roost-pool-default-") for one in found)
        (canary,) = directory.nodes("canary")
        assert canary.control == "[2001:db8::1]:8502"

    def test_who_has_no_address_or_no_doors_or_has_ended_or_is_leaving_is_no_node(
        self, directory: KubernetesDirectory, admin: client.ApiClient, namespace: str
    ) -> None:
        core = client.CoreV1Api(admin)
        for name, doors in (("new", None), ("here", None), ("over", None), ("leaving", None), ("closed", {})):
            metadata = {"name": name, "labels": {"roost/pool": "default"}}
            if name == "leaving":
                # As a pod that drains: deleted, and not gone yet.
                metadata["finalizers"] = ["roost.test/drains"]
            core.create_namespaced_pod(namespace, {"metadata": metadata, "spec": pod_spec(doors)})
        for name in ("here", "leaving", "closed"):
            tell(core, namespace, name, address="192.0.2.1")
        tell(core, namespace, "over", address="192.0.2.1", phase="Failed")
        core.delete_namespaced_pod("leaving", namespace)
        assert [one.node for one in directory.nodes("default")] == ["here"]
        core.patch_namespaced_pod("leaving", namespace, {"metadata": {"finalizers": None}})
