"""Roost in the cluster, from the manifests alone, and how a test acts on it and sees what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr

from roost.adapters.gcs import open_store
from roost.adapters.kafka import open_publisher
from roost.adapters.postgres import open_ledger
from roost.contracts.cloudevents import Event
from roost.contracts.events import Topic
from roost.contracts.rollout import Phase, Rollout
from roost.embedded.demo.load import Load
from roost.embedded.demo.predictions import all_answer
from roost.ports.clock import SystemClock
from roost.ports.ledger import Ledger, RolloutQuery
from roost.settings import DatabaseSettings, KafkaSettings, StorageSettings
from tests.cluster import beside
from tests.cluster.agent.images import REPOSITORY
from tests.cluster.control_plane import Cluster
from tests.cluster.nodes import Node
from tests.cluster.processes import until
from tests.signups import signed_up
from training.datasets.flights import FlightsDataset

Found = Any
_OVERLAY: Final = REPOSITORY / "manifests" / "overlays" / "local"
POOL: Final = "roost-pool-default"
#: How processes outside the cluster find what stands beside it.
PARTS: Final = {
    "ROOST_KAFKA__BOOTSTRAP": beside.KAFKA,
    "ROOST_STORAGE__ENDPOINT": beside.STORAGE_URL,
    "ROOST_DATABASE__URL": beside.DATABASE_URL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Every wait has a deadline, and says what it waited for and what the pods said last."""

    cluster: Cluster
    node: Node
    ledger: Ledger

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """The administrator's kubectl in the namespace."""
        return self.cluster.kubectl("-n", "roost", *words, stdin=stdin, check=check)

    def get(self, *words: str) -> Any:
        """Objects of the namespace, decoded."""
        return self.cluster.get("-n", "roost", *words)

    def until(self, what: str, look: Callable[[], Found], seconds: float = 180) -> Found:
        """The first true value."""
        return until(what, look, seconds, told=self.told)

    def told(self) -> str:
        """What an engineer would look at."""
        stands = [
            f"{one.customer} {one.run_id} {one.phase}: {one.reason}" for one in self.ledger.rollouts(RolloutQuery())
        ]
        pods = self.kubectl("get", "pods,jobs,deployments,hpa", "-o", "wide", check=False)
        return "\n".join(
            [
                pods,
                *stands,
                self.node.agent_log(),
                *(self.node.logs(f"roost-{name}", 8) for name in ("deployer", "pool")),
            ]
        )

    def pods(self, name: str = "roost-node", pool: str | None = "default", *, ready: bool = True) -> dict[str, str]:
        """Name to address of the pods that are not on their way out."""
        label = f"app.kubernetes.io/name={name}" + (f",roost/pool={pool}" if pool else "")
        found = [pod for pod in self.get("pods", "-l", label)["items"] if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in found if not ready or _is_ready(pod)}

    def settled(self, deployment: str = POOL, seconds: float = 300) -> None:
        """Until the Deployment has as many ready pods of the newest template as it wants, and no other."""

        def done() -> bool:
            found = self.get("deployment", deployment)
            spec, status = found["spec"]["replicas"], found["status"]
            seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            numbers = [
                status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            ]
            return bool(seen and numbers == [spec] * 4)

        self.until(f"{deployment} is settled", done, seconds)

    def publish_signup(self, customer: str) -> None:
        """An event from outside, as any producer would send it."""
        publisher = open_publisher(KafkaSettings(bootstrap=beside.KAFKA))
        publisher.send(Topic.CUSTOMERS, signed_up(customer))
        publisher.close()

    def train(self, customer: str, run_id: str, window: str = "2013-01-01:2013-02-15") -> None:
        """Train and stage as the DAG's task does."""
        self._training("run", "--customer", customer, "--run-id", run_id, "--window", window)

    def publish(self, customer: str, run_id: str) -> None:
        """Announce what was staged, as the DAG's last task does."""
        self._training("publish", "--customer", customer, "--run-id", run_id)

    def _training(self, *words: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")} | PARTS
        done = subprocess.run(
            (sys.executable, "-m", "training", *words),
            env=environment | {"ROOST_STATE_DIR": str(self.cluster.directory / "training")},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"training {' '.join(words)}: {done.stderr[-2000:]}"

    def rollout(self, customer: str, run_id: str | None = None) -> Rollout | None:
        """The newest one of that customer, or of that run."""
        return next(iter(self.ledger.rollouts(RolloutQuery(customer=customer, run_id=run_id))), None)

    def until_phase(self, customer: str, *phases: Phase, run_id: str | None = None, seconds: float = 240) -> Rollout:
        """That rollout once it is in one of the phases."""

        def look() -> Rollout | None:
            found = self.rollout(customer, run_id)
            return found if found and found.phase in phases else None

        found: Rollout = self.until(f"{customer} {run_id or ''} in {', '.join(phases)}", look, seconds)
        return found

    def answers_everywhere(self, customer: str, version: int | None) -> bool:
        """Whether each ready replica, asked by itself, answers a real flight with exactly that version."""
        addresses = [f"{address}:8500" for address in self.pods().values()]
        rows = FlightsDataset().sample_requests(customer, 3)
        return bool(addresses) and version is not None and all_answer(addresses, f"{customer}.default", rows, version)

    def load(self, customer: str, per_second: float = 20) -> Load:
        """Requests of one customer through the Service, REST and gRPC in turn."""
        address = self.get("service", "roost-predict")["spec"]["clusterIP"]
        rows = FlightsDataset().sample_requests(customer, 20)
        return Load(f"{address}:8501", f"{address}:8500", f"{customer}.default", rows, per_second=per_second)

    def events(self) -> list[Event]:
        """The newest 500 deploy events, oldest first."""
        return [row.event for row in self.ledger.recent_events(limit=500)]


@contextmanager
def applied(cluster: Cluster, node: Node) -> Iterator[World]:
    """The overlay `local`, applied server-side, and everything of it settled."""
    said = cluster.kubectl("apply", "--server-side", "-k", str(_OVERLAY))
    assert "namespace/roost serverside-applied" in said
    ledger = open_ledger(DatabaseSettings(url=SecretStr(beside.DATABASE_URL), pool_size=4), SystemClock())
    world = World(cluster=cluster, node=node, ledger=ledger)
    try:
        names = [one["metadata"]["name"] for one in world.get("deployments")["items"]]
        for name in names:
            world.settled(name, 300)
        yield world
    finally:
        ledger.close()


def storage() -> Any:
    """The object store, as an operator."""
    return open_store(StorageSettings(endpoint=beside.STORAGE_URL))


def _is_ready(pod: Any) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
