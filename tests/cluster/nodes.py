"""The pod agent as a process beside the control plane: from then on pods run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.agent import memory
from tests.cluster.agent.images import REPOSITORY
from tests.cluster.control_plane import NODE, Cluster
from tests.cluster.processes import running, tail, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The one node, and what its pods have said."""

    directory: Path

    def logs(self, pod: str, lines: int = 30) -> str:
        """The last words of each container of the pods whose names begin so, also of those that are gone."""
        found = sorted(self.directory.glob(f"*_{pod}*/*/log"))
        return "\n".join(f"{log.parent.parent.name}/{log.parent.name} {tail(log, lines)}" for log in found)

    def exec(self, pod: str, container: str, *command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """As `kubectl exec` in that container, which runs; its environment, its user, its root."""
        place = next(self.directory.glob(f"*_{pod}_*")) / container
        spec = json.loads((place / "container.json").read_text())
        pid, uid, gid = (place / "pid").read_text(), spec["uid"], spec["gid"]
        inside = ("nsenter", "-t", pid, "-m", "-n", "-p", "-u", "-i", "-r", "-w", "-S", str(uid), "-G", str(gid), "--")
        return subprocess.run(
            (*inside, *command), env=spec["env"], check=False, capture_output=True, text=True, timeout=seconds
        )

    def agent_log(self, lines: int = 30) -> str:
        """The agent's own."""
        return tail(self.directory.parent / "agent.log", lines)


@contextmanager
def joined(cluster: Cluster) -> Iterator[Node]:
    """A node that is ready; every container ends with it."""
    pods = cluster.directory / "pods"
    pods.mkdir()
    tokens = cluster.directory / "agent.json"
    tokens.touch(mode=0o600)
    tokens.write_text(json.dumps(cluster.agent_tokens))
    words = (cluster.url, str(cluster.ca_file), str(tokens), str(pods))
    python = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m")
    agent, proxy = (*python, "tests.cluster.agent", *words), (*python, "tests.cluster.agent.services", *words)
    node = Node(directory=pods)

    def ready() -> bool:
        conditions = cluster.kubectl("get", "node", NODE, "-o", "jsonpath={.status.conditions}", check=False)
        return '"type":"Ready"' in conditions and '"status":"True"' in conditions

    # Its containers end with it, each by its parent's death; process ids are those of the tests, which look into them.
    with (
        running("agent", agent, cluster.directory, alone=False),
        running("proxy", proxy, cluster.directory, alone=False),
    ):
        until("the node is ready", ready, 180, told=node.agent_log)
        yield node
    until("every container has ended", lambda: memory.cleared(pods), 180)
