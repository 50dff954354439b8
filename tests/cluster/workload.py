"""The stage of the workload's contract suite on an API server: its controllers are real, its pods are by hand."""

from __future__ import annotations

from kubernetes import client

from roost.adapters.kubernetes import Cluster, KubernetesWorkload
from tests.cluster.by_hand import PoolByHand


class ClusterStage:
    """`admin` plays the kubelet, `mine` is the client that the adapter has."""

    def __init__(self, admin: client.ApiClient, mine: client.ApiClient, namespace: str) -> None:
        self._pool = PoolByHand(admin, namespace)
        self._pool.create()
        self.workload = KubernetesWorkload(Cluster(api=mine, namespace=namespace, host=mine.configuration.host))

    def finish(self) -> None:
        self._pool.finish()

    def block(self) -> str:
        return self._pool.block()
