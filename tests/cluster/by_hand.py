"""Pods that no machine runs: a test says how each of them is, and the real controllers draw their conclusions.

Their scheduler's name is nobody's, so that they stay unbound, and the API server lets them go at once.
"""

from __future__ import annotations

from typing import Any, Final

from kubernetes import client

from tests.cluster.processes import until

SCHEDULER: Final = "by-hand"
_SECONDS: Final = 180.0
_DOORS: Final = {"control": 8502, "rest": 8501, "grpc": 8500}
_UNPRIVILEGED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod_spec(doors: dict[str, int] | None = None) -> dict[str, Any]:
    """A pod of one container with a node's ports, which restricted namespaces take."""
    ports = [{"name": name, "containerPort": port} for name, port in (_DOORS if doors is None else doors).items()]
    container = {"name": "node", "image": "roost-serving:0.1.0", "ports": ports, "securityContext": _UNPRIVILEGED}
    return {"schedulerName": SCHEDULER, "automountServiceAccountToken": False, "containers": [container]}


class PoolByHand:
    """The Deployment of a pool, whose pods are ready when the test says so."""

    def __init__(self, api: client.ApiClient, namespace: str, *, pool: str = "default", replicas: int = 3) -> None:
        self.name, self.namespace, self.pool = f"roost-pool-{pool}", namespace, pool
        self._core, self._apps = client.CoreV1Api(api), client.AppsV1Api(api)
        self._replicas = replicas

    def create(self, *, address: str = "192.0.2.1", doors: dict[str, int] | None = None) -> None:
        """Make it, and its first pods ready."""
        labels = {"roost/pool": self.pool}
        spec = {
            "replicas": self._replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(doors)},
        }
        self._apps.create_namespaced_deployment(self.namespace, {"metadata": {"name": self.name}, "spec": spec})
        self.finish(address)

    def finish(self, address: str = "192.0.2.1") -> None:
        """Every pod that comes is ready, until none of an old template is left."""

        def look() -> bool:
            self.make_ready(address)
            found = self._apps.read_namespaced_deployment(self.name, self.namespace)
            seen = (found.status.observed_generation or 0) >= found.metadata.generation
            counts = {found.status.replicas, found.status.updated_replicas, found.status.available_replicas}
            return seen and counts == {self._replicas}

        until(f"{self.name} is rolled out", look, _SECONDS)

    def make_ready(self, address: str = "192.0.2.1") -> None:
        """Say of each pod that it runs and is ready."""
        pods = self._core.list_namespaced_pod(self.namespace, label_selector=f"roost/pool={self.pool}")
        for pod in pods.items:
            if pod.status.phase == "Pending" and pod.metadata.deletion_timestamp is None:
                tell(self._core, self.namespace, pod.metadata.name, address=address)

    def block(self) -> str:
        """Nothing comes of the roll, and its controller says so. Returns what it says."""
        # A change while the controller notes that the roll has begun would lose that note, and with it the deadline:
        # a roll is given up only after a condition that says that it goes on.
        until("the roll has begun", lambda: self._progress().reason != "NewReplicaSetAvailable", _SECONDS)
        self.deadline(1)
        until("the controller gives the roll up", lambda: self._progress().status == "False", _SECONDS)
        # Only this roll is hopeless: the next one has its time again.
        self.deadline(600)
        return str(self._progress().message)

    def deadline(self, seconds: int) -> None:
        """Seconds after which a roll that does not move is given up."""
        patch = {"spec": {"progressDeadlineSeconds": seconds}}
        self._apps.patch_namespaced_deployment(self.name, self.namespace, patch)

    def _progress(self) -> client.V1DeploymentCondition:
        found = self._apps.read_namespaced_deployment(self.name, self.namespace)
        return next(one for one in found.status.conditions if one.type == "Progressing")


def tell(core: client.CoreV1Api, namespace: str, name: str, *, address: str | None, phase: str = "Running") -> None:
    """Write a pod's status, as its kubelet would."""
    ready = "True" if phase == "Running" else "False"
    status: dict[str, Any] = {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
    if address is not None:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    core.patch_namespaced_pod_status(name, namespace, {"status": status})
