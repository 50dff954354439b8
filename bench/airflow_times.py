"""When Airflow's tasks of one run began and ended, from its REST API."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import httpx
from pydantic import AwareDatetime, BaseModel

from roost.settings import AirflowSettings

DAG: Final = "train_customer_model"


class TaskTimes(BaseModel):
    """One task of a run."""

    task_id: str
    start_date: AwareDatetime | None
    end_date: AwareDatetime | None


class _Run(BaseModel):
    queued_at: AwareDatetime


class _Tasks(BaseModel):
    task_instances: tuple[TaskTimes, ...]


class _Token(BaseModel):
    access_token: str


class NoTimes(RuntimeError):
    """Airflow does not say when a task began or ended."""


def run_times(settings: AirflowSettings, run_id: str) -> dict[str, tuple[datetime, datetime]]:
    """Begin and end of every task of that run, by its name, and twice under ``queued`` when the run was accepted.

    Raises `NoTimes` where a task has not ended.
    """
    secret = settings.password.get_secret_value() if settings.password else ""
    with httpx.Client(base_url=settings.url, timeout=30, trust_env=False) as client:
        login = client.post("/auth/token", json={"username": settings.username, "password": secret})
        token = _Token.model_validate_json(login.raise_for_status().content).access_token
        client.headers["Authorization"] = f"Bearer {token}"
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}"
        queued = _Run.model_validate_json(client.get(path).raise_for_status().content).queued_at
        tasks = _Tasks.model_validate_json(client.get(f"{path}/taskInstances").raise_for_status().content)
    found = {"queued": (queued, queued)}
    for task in tasks.task_instances:
        if task.start_date is None or task.end_date is None:
            raise NoTimes(f"task {task.task_id} of run {run_id} has not ended")
        found[task.task_id] = (task.start_date, task.end_date)
    return found
