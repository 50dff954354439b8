"""What keeps a pool's pods from getting ready: the first words of them that name a cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from kubernetes import client

from roost.adapters.kubernetes.cluster import Cluster
from roost.adapters.kubernetes.directory import POOL_LABEL
from roost.contracts.errors import ClusterRefused

#: Reasons to wait that every pod has for a moment.
_PASSING: Final = frozenset({"PodInitializing", "ContainerCreating"})
#: A kubelet hands on up to 4096 bytes; a deploy event is a sentence.
_LONGEST: Final = 600


def of_pods(cluster: Cluster, pool: str) -> str | None:
    """One clause on the first pod of the pool that is not ready and says why; None where none does.

    An account that may not look at pods is told nothing here: what it was asking for is more important.

    Raises:
        ClusterUnavailable: the pods could not be listed this time; whoever asks again is told why they wait.
    """
    pods = client.CoreV1Api(cluster.api).list_namespaced_pod
    try:
        found = cluster.ask("list pods", pods, cluster.namespace, label_selector=f"{POOL_LABEL}={pool}")
    except ClusterRefused:
        return None
    told = (_told(pod) for pod in found.items if pod.metadata.deletion_timestamp is None)
    return next((one for one in told if one is not None), None)


def _told(pod: Any) -> str | None:
    name = pod.metadata.name
    for status in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        cause = None if status.ready else next(_causes(status), None)
        if cause is not None:
            return f"pod {name}, container {status.name}: {cause}"
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"pod {name}: {_shortened(condition.message or condition.reason or 'not scheduled')}"
    return None


def _causes(status: Any) -> Iterator[str]:
    """Its last end says more than that it is tried again."""
    for state in (status.state, status.last_state):
        ended = state.terminated if state is not None else None
        if ended is not None and ended.exit_code:
            yield _shortened(_last_line(ended.message) or f"{ended.reason}, exit code {ended.exit_code}")
    waiting = status.state.waiting if status.state is not None else None
    if waiting is not None and waiting.reason not in _PASSING:
        yield _shortened(f"{waiting.reason}: {waiting.message}" if waiting.message else str(waiting.reason))


def _last_line(message: str | None) -> str | None:
    """Of the last words of a container; of a line of our own log, what it says."""
    lines = (message or "").strip().splitlines()
    if not lines:
        return None
    try:
        return str(json.loads(lines[-1])["message"])
    except (ValueError, KeyError, TypeError):
        return lines[-1]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
