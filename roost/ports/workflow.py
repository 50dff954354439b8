"""The workflow engine that trains: Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One run as the engine knows it."""

    run_id: str
    #: ``queued``, ``running``, ``success`` or ``failed``.
    state: str
    conf: Mapping[str, object]
    #: Page of the run in the engine's own UI.
    url: str


class Workflow(Protocol):
    """Starts and looks up runs. Every method raises `WorkflowUnavailable` when the engine is down or not ready yet."""

    def start(self, dag: str, run_id: str, conf: Mapping[str, object], *, note: str) -> WorkflowRun:
        """Start a run; one that exists with the same id and conf is returned as it is.

        Raises:
            Permanent: the engine refuses the conf for good.
            Conflict: a run of that id exists with another conf.
        """

    def run(self, dag: str, run_id: str) -> WorkflowRun | None:
        """The run, or None where there is none."""
