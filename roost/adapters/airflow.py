"""Airflow 3's REST API: starting runs and looking them up.

Measured answers of Airflow 3.3: 409 for a run id that exists; 400 for a conf that breaks a param's schema, but also for
a DAG that cannot be imported just now; 404 for a DAG that is not parsed yet; 401 for a token that has expired.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import BaseModel, Field, ValidationError

from roost.contracts.errors import Conflict, Permanent, WorkflowUnavailable
from roost.ports.workflow import FAILURE_KEY, TaskFailure, WorkflowRun, same_conf
from roost.settings import AirflowSettings

#: Triggering loads the serialised DAG; seconds are normal on a busy machine.
_TIMEOUT: Final = httpx.Timeout(30, connect=3)
#: What Airflow says in a 400 that time will heal.
_TRANSIENT_400: Final = "import errors"
_BODY_CHARACTERS: Final = 500
_Shape = TypeVar("_Shape", bound=BaseModel)


class _Token(BaseModel):
    access_token: str


class _Run(BaseModel):
    dag_run_id: str
    state: str
    conf: dict[str, object] | None = Field(default=None)
    end_date: datetime | None = Field(default=None)


class _Runs(BaseModel):
    dag_runs: list[_Run]


class _Task(BaseModel):
    task_id: str


class _Tasks(BaseModel):
    task_instances: list[_Task]


class _Said(BaseModel):
    value: object = None


class AirflowWorkflow:
    """Implements `Workflow`. Safe to share between threads."""

    def __init__(self, settings: AirflowSettings, client: httpx.Client) -> None:
        """Use `client`, whose base address is Airflow's. Nothing is asked yet."""
        self._settings = settings
        self._client = client
        self._lock = threading.Lock()
        self._token: str | None = None

    def start(self, dag: str, run_id: str, conf: Mapping[str, object], *, note: str) -> WorkflowRun:
        """Start a run; one that exists with the same id and conf is returned as it is."""
        # Two runs may not share a logical date that is not null.
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf), "note": note}
        answer = self._ask("POST", _runs(dag), body)
        if answer.status_code == httpx.codes.CONFLICT:
            return self._existing(dag, run_id, conf, answer)
        if answer.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
            if _TRANSIENT_400 in answer.text:
                raise WorkflowUnavailable(f"Airflow cannot import DAG {dag} now: {_said(answer)}")
            raise Permanent(f"Airflow refuses run {run_id} of {dag}: {_said(answer)}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise WorkflowUnavailable(f"Airflow does not know DAG {dag} (yet): {_said(answer)}")
        return self._run(dag, answer)

    def run(self, dag: str, run_id: str) -> WorkflowRun | None:
        """The run, or None where there is none."""
        answer = self._ask("GET", f"{_runs(dag)}/{quote(run_id, safe='')}")
        return None if _has_no(run_id, answer) else self._run(dag, answer)

    def failures(self, dag: str, run_id: str) -> Sequence[TaskFailure]:
        """The tasks of the run that failed, each with the sentence that it left."""
        tasks = f"{_runs(dag)}/{quote(run_id, safe='')}/taskInstances"
        answer = self._ask("GET", f"{tasks}?state=failed")
        if _has_no(run_id, answer):
            return []
        failed = self._read(_Tasks, answer).task_instances
        return [TaskFailure(task=one.task_id, reason=self._reason(tasks, one.task_id)) for one in failed]

    def failed(self, dag: str, *, since: datetime, limit: int) -> Sequence[WorkflowRun]:
        """Runs that failed since then."""
        asked = {"state": "failed", "end_date_gte": since.isoformat(), "order_by": "end_date", "limit": limit}
        answer = self._ask("GET", f"{_runs(dag)}?{urlencode(asked)}")
        if _has_no(dag, answer):
            # It is not parsed yet.
            return []
        return [self._known(dag, run) for run in self._read(_Runs, answer).dag_runs]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _existing(self, dag: str, run_id: str, conf: Mapping[str, object], refusal: httpx.Response) -> WorkflowRun:
        found = self.run(dag, run_id)
        if found is None:
            raise WorkflowUnavailable(f"Airflow reports a conflict and has no run {run_id}: {_said(refusal)}")
        if not same_conf(found.conf, conf):
            raise Conflict(f"run {run_id} of {dag} exists with another conf: {dict(found.conf)}")
        return found

    def _reason(self, tasks: str, task: str) -> str:
        answer = self._ask("GET", f"{tasks}/{quote(task, safe='')}/xcomEntries/{FAILURE_KEY}")
        # A task that was killed, or never imported, has left nothing.
        found = None if answer.status_code == httpx.codes.NOT_FOUND else self._read(_Said, answer).value
        return found if isinstance(found, str) else ""

    def _run(self, dag: str, answer: httpx.Response) -> WorkflowRun:
        return self._known(dag, self._read(_Run, answer))

    def _known(self, dag: str, run: _Run) -> WorkflowRun:
        page = f"{self._settings.url.rstrip('/')}/dags/{quote(dag, safe='')}/runs/{quote(run.dag_run_id, safe='')}"
        return WorkflowRun(run_id=run.dag_run_id, state=run.state, conf=run.conf or {}, url=page, ended_at=run.end_date)

    def _read(self, shape: type[_Shape], answer: httpx.Response) -> _Shape:
        if not answer.is_success:
            raise WorkflowUnavailable(f"Airflow answers {answer.status_code}: {_said(answer)}")
        try:
            return shape.model_validate_json(answer.content)
        except ValidationError as error:
            raise WorkflowUnavailable(f"{self._settings.url} does not answer like Airflow: {_said(answer)}") from error

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        token = self._current_token()
        answer = self._send(method, path, body, token)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            # Expired, or signed with a key from before a restart: a new one, once.
            answer = self._send(method, path, body, self._current_token(stale=token))
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise WorkflowUnavailable(
                f"Airflow at {self._settings.url} refuses the login ({answer.status_code}); "
                "see ROOST_AIRFLOW__USERNAME and ROOST_AIRFLOW__PASSWORD"
            )
        return answer

    def _current_token(self, stale: str | None = None) -> str:
        with self._lock:
            if self._token is None or self._token == stale:
                self._token = self._new_token()
            return self._token

    def _new_token(self) -> str:
        if self._settings.username is None:
            answer = self._send("GET", "/auth/token")
        else:
            secret = self._settings.password
            login = {"username": self._settings.username, "password": secret.get_secret_value() if secret else ""}
            answer = self._send("POST", "/auth/token", login)
        try:
            return _Token.model_validate_json(answer.content).access_token
        except ValidationError as error:
            raise WorkflowUnavailable(
                f"Airflow at {self._settings.url} gives no token ({answer.status_code}): {_said(answer)}; "
                "see ROOST_AIRFLOW__USERNAME and ROOST_AIRFLOW__PASSWORD"
            ) from error

    def _send(
        self, method: str, path: str, body: Mapping[str, object] | None = None, token: str | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise WorkflowUnavailable(
                f"Airflow at {self._settings.url} does not answer ({type(error).__name__}: {error}); is it up yet?"
            ) from error


def open_workflow(settings: AirflowSettings) -> AirflowWorkflow:
    """Airflow at the address of the settings. Nothing connects before it is used."""
    return AirflowWorkflow(settings, httpx.Client(base_url=settings.url, timeout=_TIMEOUT))


def _runs(dag: str) -> str:
    return f"/api/v2/dags/{quote(dag, safe='')}/dagRuns"


def _has_no(name: str, answer: httpx.Response) -> bool:
    """Airflow names what it does not have. A proxy that finds no Airflow says 404, too, and nothing has gone."""
    return answer.status_code == httpx.codes.NOT_FOUND and name in answer.text


def _said(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:_BODY_CHARACTERS]
