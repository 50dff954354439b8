"""A workflow engine in memory: runs are noted, not run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from roost.contracts.errors import Conflict, Permanent, WorkflowUnavailable
from roost.ports.clock import Clock, SystemClock
from roost.ports.workflow import TaskFailure, WorkflowRun, same_conf


class InMemoryWorkflow:
    """Implements `Workflow`. `reachable` False is an engine that is down; `refuses` maps a DAG to why it refuses."""

    def __init__(self, clock: Clock | None = None) -> None:
        """No runs yet. `clock` says when runs end; the machine's own by default."""
        self._clock = clock or SystemClock()
        self.reachable = True
        self.refuses: dict[str, str] = {}
        self.runs: dict[tuple[str, str], WorkflowRun] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self._failures: dict[tuple[str, str], list[TaskFailure]] = {}
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
            if not same_conf(found.conf, conf):
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
            return list(self._failures.get((dag, run_id), []))

    def failed(self, dag: str, *, since: datetime, limit: int) -> Sequence[WorkflowRun]:
        """Runs that failed since then."""
        self._check()
        with self._lock:
            ended = [(run.ended_at, run) for (one, _), run in self.runs.items() if one == dag and run.state == "failed"]
            found = sorted(((at, run) for at, run in ended if at and at >= since), key=lambda pair: pair[0])
            return [run for _, run in found[:limit]]

    def finish(self, dag: str, run_id: str, state: str) -> None:
        """Let a run end as ``success`` or ``failed``."""
        with self._lock:
            ended = replace(self.runs[(dag, run_id)], state=state, ended_at=self._clock.now())
            self.runs[(dag, run_id)] = ended

    def fail(self, dag: str, run_id: str, task: str, reason: str = "") -> None:
        """Let a run fail, by that task and with what it said."""
        self.finish(dag, run_id, "failed")
        with self._lock:
            self._failures[(dag, run_id)] = [TaskFailure(task=task, reason=reason)]

    def _check(self) -> None:
        if not self.reachable:
            raise WorkflowUnavailable("the workflow engine does not answer")
