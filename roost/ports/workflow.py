"""The workflow engine that trains: Airflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

#: Under this name a task leaves the sentence that says why it failed, where the engine keeps its results.
FAILURE_KEY: Final = "failure"
#: Of a run's conf: the traceparent that its tasks go on from. It says nothing about what the run does.
TRACE_CONF: Final = "traceparent"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One run as the engine knows it."""

    run_id: str
    #: ``queued``, ``running``, ``success`` or ``failed``.
    state: str
    conf: Mapping[str, object]
    #: Page of the run in the engine's own UI.
    url: str
    #: By the engine's clock; None while it has not ended.
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """One task of a run that failed."""

    task: str
    #: What the task said of it. Empty where it could say nothing: killed, timed out, not importable.
    reason: str


def same_conf(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two confs ask for the same run: its trace apart, since a retry may know of one, or of none."""
    return {**one, TRACE_CONF: None} == {**other, TRACE_CONF: None}


class Workflow(Protocol):
    """Starts and looks up runs. Every method raises `WorkflowUnavailable` when the engine is down or not ready yet."""

    def start(self, dag: str, run_id: str, conf: Mapping[str, object], *, note: str) -> WorkflowRun:
        """Start a run; one that exists with the same id and conf is returned as it is (see `same_conf`).

        Raises:
            Permanent: the engine refuses the conf for good.
            Conflict: a run of that id exists with another conf.
        """

    def run(self, dag: str, run_id: str) -> WorkflowRun | None:
        """The run, or None where there is none."""

    def failures(self, dag: str, run_id: str) -> Sequence[TaskFailure]:
        """The tasks of a run that failed, not those that were never reached; empty where there is no such run."""

    def failed(self, dag: str, *, since: datetime, limit: int) -> Sequence[WorkflowRun]:
        """Runs that failed at that instant or later, in the order in which they did, at most `limit` (up to 100)."""
