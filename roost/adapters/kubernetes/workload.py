"""The roll of a pool's Deployment: an annotation of its pod template, as `kubectl rollout restart` does."""

from __future__ import annotations

from typing import Any, Final

from kubernetes import client

from roost.adapters.kubernetes import trouble
from roost.adapters.kubernetes.cluster import Cluster
from roost.contracts.ids import check_id
from roost.ports.serving import WorkloadStatus

#: Which order a template is of. The same order leaves the template, and so the pods, as they are.
ORDER_ANNOTATION: Final = "roost/restart-order"


def deployment_of(pool: str) -> str:
    """Name of the pool's Deployment, as the manifests and the role that may patch it have it."""
    return f"roost-pool-{check_id(pool, 'pool id')}"


class KubernetesWorkload:
    """A `PoolWorkload` over Deployments named ``roost-pool-<pool>``."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._apps = client.AppsV1Api(cluster.api)

    def restart(self, pool: str, *, order: str) -> None:
        """Change the template; the Deployment's controller does the rest."""
        template = {"metadata": {"annotations": {ORDER_ANNOTATION: order}}}
        name = deployment_of(pool)
        patch = self._apps.patch_namespaced_deployment
        self._cluster.ask(
            f"patch deployment {name}", patch, name, self._cluster.namespace, {"spec": {"template": template}}
        )

    def status(self, pool: str) -> WorkloadStatus:
        """By the rules of `kubectl rollout status`: the controller has seen the template, and no old pod is left."""
        name = deployment_of(pool)
        read = self._apps.read_namespaced_deployment
        found = self._cluster.ask(f"get deployment {name}", read, name, self._cluster.namespace)
        desired, status = found.spec.replicas if found.spec.replicas is not None else 1, found.status
        updated, total, available = (
            number or 0 for number in (status.updated_replicas, status.replicas, status.available_replicas)
        )
        seen = (status.observed_generation or 0) >= found.metadata.generation
        return WorkloadStatus(
            desired=desired,
            updated=updated if seen else 0,
            ready=status.ready_replicas or 0,
            done=seen and updated >= desired and total <= updated and available >= updated,
            stuck=self._stuck(pool, status.conditions or ()) if seen else None,
        )

    def _stuck(self, pool: str, conditions: Any) -> str | None:
        given_up = _given_up(deployment_of(pool), conditions)
        cause = trouble.of_pods(self._cluster, pool) if given_up is not None else None
        return given_up if cause is None else f"{cause}; {given_up}"


def _given_up(name: str, conditions: Any) -> str | None:
    for condition in conditions:
        if condition.type == "Progressing" and condition.status == "False":
            return f"{condition.message} ({condition.reason}): `kubectl describe deployment {name}` shows its pods"
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return f"{condition.message} ({condition.reason})"
    return None
