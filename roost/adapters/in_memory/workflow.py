"""A workflow engine in memory: runs are noted, not run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from roost.contracts.errors import Conflict, Permanent, WorkflowUnavailable
from roost.ports.workflow import TaskFailure, WorkflowRun


class InMemoryWorkflow:
    """Implements `Workflow`. `reachable` False is an engine that is down; `refuses` maps a DAG to why it refuses."""

    def __init__(self) -> None:
        """No runs yet."""
        self.reachable = True
        self.refuses: dict[str, str] = {}
        self.runs: dict[tuple[str, str], WorkflowRun] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self.failed: dict[tuple[str, str], list[TaskFailure]] = {}
        self._lock = threading.Lock()

    def start(self, dag: str, run_id: str, conf: Mapping[str, object], *, note: str) -> WorkflowRun:
        """Start a run; one that exists with the same id and conf is returned as it is."""
        self._check()
        with self._lock:
            if dag in self.refuses:
                raise Permanent(f"run {run_id} of {dag} is refused: {self.refuses[dag]}")
            found = self.runs.get((dag, run_id))
            if found is None:
                url = f"memory://{dag}/{run_id}"
                found = self.runs[(dag, run_id)] = WorkflowRun(run_id=run_id, state="queued", conf=dict(conf), url=url)
                self.notes[(dag, run_id)] = note
            if dict(found.conf) != dict(conf):
                raise Conflict(f"run {run_id} of {dag} exists with another conf: {dict(found.conf)}")
            return found

    def run(self, dag: str, run_id: str) -> WorkflowRun | None:
        """The run, or None where there is none."""
        self._check()
        with self._lock:
            return self.runs.get((dag, run_id))

    def failures(self, dag: str, run_id: str) -> Sequence[TaskFailure]:
        """The tasks of the run that failed."""
        self._check()
        with self._lock:
            return list(self.failed.get((dag, run_id), []))

    def finish(self, dag: str, run_id: str, state: str) -> None:
        """Let a run end as ``success`` or ``failed``."""
        with self._lock:
            self.runs[(dag, run_id)] = replace(self.runs[(dag, run_id)], state=state)

    def fail(self, dag: str, run_id: str, task: str, reason: str = "") -> None:
        """Let a run fail, by that task and with what it said."""
        self.finish(dag, run_id, "failed")
        with self._lock:
            self.failed[(dag, run_id)] = [TaskFailure(task=task, reason=reason)]

    def _check(self) -> None:
        if not self.reachable:
            raise WorkflowUnavailable("the workflow engine does not answer")
