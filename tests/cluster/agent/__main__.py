"""Run the agent: python -m tests.cluster.agent URL CA_FILE TOKENS.json DIRECTORY, in the suite's network.

Two identities, as in a cluster: the scheduler's, which binds, and the node's, which the API server lets see and change only
what is of its pods. `python -m tests.cluster.agent.services` with the same arguments plays kube-proxy, as itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from tests.cluster import network
from tests.cluster.agent.api import Api
from tests.cluster.agent.pod import PodWorker
from tests.cluster.agent.sandbox import Addresses
from tests.cluster.control_plane import NODE

log = logging.getLogger("agent")

_LEASE_SECONDS: Final = 40
_BEAT_SECONDS: Final = 8.0


async def main(url: str, ca_file: Path, tokens: dict[str, str], directory: Path) -> None:
    """Until cancelled."""
    node, scheduler = (Api(url, ca_file, tokens[name]) for name in ("node", "scheduler"))
    await _join(node)
    async with asyncio.TaskGroup() as group:
        group.create_task(_beat(node))
        group.create_task(_bind(scheduler))
        group.create_task(_run_pods(node, directory))


async def _join(api: Api) -> None:
    labels = {"kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "one"}
    document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}
    made = await api.get(f"/api/v1/nodes/{NODE}") or await api.post("/api/v1/nodes", document)
    log.info("node %s", made["metadata"]["name"])
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "1Ti"}
    now = _now()
    ready = {"type": "Ready", "status": "True", "reason": "AgentReady", "message": "", "lastHeartbeatTime": now}
    status = {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [{**ready, "lastTransitionTime": now}],
        "addresses": [{"type": "InternalIP", "address": network.HOST}],
    }
    await api.patch(f"/api/v1/nodes/{NODE}/status", {"status": status})


async def _beat(api: Api) -> None:
    """Without it the node would be found unreachable, and its pods evicted."""
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    while True:
        spec = {"holderIdentity": NODE, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": _now(".%fZ")}
        try:
            if await api.get(f"{leases}/{NODE}") is None:
                kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE}}
                await api.post(leases, {**kind, "spec": spec})
            else:
                await api.patch(f"{leases}/{NODE}", {"spec": spec})
        except httpx.HTTPError as error:
            log.warning("no heartbeat: %s", error)
        await asyncio.sleep(_BEAT_SECONDS)


async def _bind(api: Api) -> None:
    """Every pod to the one node, whatever it asks for, but those that name another scheduler: tests speak for them."""
    async for kind, pod in api.watch("/api/v1/pods", "spec.nodeName=,spec.schedulerName=default-scheduler"):
        metadata = pod["metadata"]
        if kind == "DELETED" or metadata.get("deletionTimestamp") or pod["spec"].get("nodeName"):
            continue
        if pod["spec"]["schedulerName"] != "default-scheduler":
            continue
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        named = {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": named, "target": target}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
        try:
            await api.post(path, binding)
        except httpx.HTTPError as error:
            log.warning("not bound: %s", error)


async def _run_pods(api: Api, directory: Path) -> None:
    workers: dict[str, PodWorker] = {}
    addresses = Addresses()
    async for kind, pod in api.watch("/api/v1/pods", f"spec.nodeName={NODE}"):
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        if kind == "DELETED":
            if uid in workers:
                workers.pop(uid).vanish()
            continue
        if uid not in workers:
            place = directory / f"{metadata['namespace']}_{metadata['name']}_{uid[:8]}"
            workers[uid] = PodWorker(pod, api, addresses, place)
        workers[uid].update(pod)


def _now(ending: str = "Z") -> str:
    return datetime.now(UTC).strftime(f"%Y-%m-%dT%H:%M:%S{ending}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()), Path(sys.argv[4])))
