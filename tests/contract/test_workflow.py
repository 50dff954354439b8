"""What every workflow engine must do: in memory, and Airflow's client against Airflow's answers.

With `ROOST_TEST_AIRFLOW_URL` (and `_USERNAME`, `_PASSWORD`) set, the suite also runs against that Airflow, which must
have Roost's DAGs; the runs that it starts are of customers that nobody has.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from roost.adapters.airflow import AirflowWorkflow, open_workflow
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts.errors import Conflict, Permanent, WorkflowUnavailable
from roost.ports.workflow import TaskFailure, Workflow
from roost.settings import AirflowSettings
from tests.contract.airflow_stand_in import AirflowStandIn

pytestmark = pytest.mark.contract

TRAIN = "train_customer_model"
SETTINGS = AirflowSettings(url="http://airflow.test", username="ann", password=SecretStr("secret"))
REAL = os.environ.get("ROOST_TEST_AIRFLOW_URL")


def conf(customer: str = "nobody-1") -> dict[str, object]:
    return {"customer_id": customer, "model": "default", "reason": "contract test"}


def client(airflow: AirflowStandIn, settings: AirflowSettings = SETTINGS) -> AirflowWorkflow:
    return AirflowWorkflow(settings, httpx.Client(base_url=settings.url, transport=httpx.MockTransport(airflow)))


@pytest.fixture(params=["memory", "answers", *(["airflow"] if REAL else [])])
def workflow(request: pytest.FixtureRequest) -> Iterator[Workflow]:
    if request.param == "memory":
        yield InMemoryWorkflow()
    elif request.param == "answers":
        yield client(AirflowStandIn())
    else:
        password = os.environ.get("ROOST_TEST_AIRFLOW_PASSWORD")
        opened = open_workflow(
            AirflowSettings(
                url=REAL or "",
                username=os.environ.get("ROOST_TEST_AIRFLOW_USERNAME"),
                password=SecretStr(password) if password else None,
            )
        )
        yield opened
        opened.close()


@pytest.fixture
def run_id() -> str:
    return f"signup__nobody-1__{uuid.uuid4().hex[:8]}+a~b"


def test_a_started_run_is_there(workflow: Workflow, run_id: str) -> None:
    started = workflow.start(TRAIN, run_id, conf(), note="a test")
    assert (started.run_id, dict(started.conf)) == (run_id, conf())
    found = workflow.run(TRAIN, run_id)
    assert found is not None
    assert (found.run_id, dict(found.conf)) == (run_id, conf())


def test_the_same_run_again_is_the_same_run(workflow: Workflow, run_id: str) -> None:
    for _ in range(3):
        assert workflow.start(TRAIN, run_id, conf(), note="a test").run_id == run_id


def test_the_same_id_with_another_conf_is_a_conflict(workflow: Workflow, run_id: str) -> None:
    workflow.start(TRAIN, run_id, conf("nobody-1"), note="a test")
    with pytest.raises(Conflict, match=r"signup__nobody-1"):
        workflow.start(TRAIN, run_id, conf("nobody-2"), note="a test")


def test_an_unknown_run_is_none(workflow: Workflow, run_id: str) -> None:
    assert workflow.run(TRAIN, run_id) is None


def test_a_proxy_that_finds_no_airflow_does_not_make_runs_vanish() -> None:
    """Its 404 told of every customer in training that somebody had deleted their run."""
    airflow = AirflowStandIn()
    workflow = client(airflow)
    workflow.start(TRAIN, "x", conf(), note="")
    airflow.broken = 404
    for ask in (
        lambda: workflow.run(TRAIN, "x"),
        lambda: workflow.failures(TRAIN, "x"),
        lambda: workflow.failed(TRAIN, since=datetime.now(UTC), limit=9),
    ):
        with pytest.raises(WorkflowUnavailable, match="404"):
            ask()


def test_a_run_that_is_unknown_or_has_not_failed_has_no_failures(workflow: Workflow, run_id: str) -> None:
    assert list(workflow.failures(TRAIN, run_id)) == []
    workflow.start(TRAIN, run_id, conf(), note="a test")
    assert list(workflow.failures(TRAIN, run_id)) == []


def test_a_failed_run_names_its_failed_tasks_and_what_they_said(run_id: str) -> None:
    memory, airflow = InMemoryWorkflow(), AirflowStandIn()
    kinds: list[tuple[Workflow, Callable[[], None]]] = [
        (memory, lambda: memory.fail(TRAIN, run_id, "train_and_stage", "acme has 3 rows")),
        (client(airflow), lambda: airflow.fail(TRAIN, run_id, train_and_stage="acme has 3 rows")),
    ]
    for workflow, fail in kinds:
        workflow.start(TRAIN, run_id, conf(), note="a test")
        fail()
        assert workflow.failures(TRAIN, run_id) == [TaskFailure(task="train_and_stage", reason="acme has 3 rows")]
        found = workflow.run(TRAIN, run_id)
        assert found is not None
        assert found.state == "failed"
        assert found.ended_at is not None


def test_failed_runs_are_listed_from_an_instant_on_oldest_first() -> None:
    clock, airflow = ManualClock(datetime.now(UTC)), AirflowStandIn()
    memory = InMemoryWorkflow(clock)
    kinds: list[tuple[Workflow, Callable[[str], None]]] = [
        (memory, lambda run: memory.fail(TRAIN, run, "prepare")),
        (client(airflow), lambda run: airflow.fail(TRAIN, run, prepare=None)),
    ]
    for workflow, fail in kinds:
        before = datetime.now(UTC) - timedelta(minutes=1)
        assert list(workflow.failed(TRAIN, since=before, limit=9)) == []
        for run in ("c", "b", "a"):
            workflow.start(TRAIN, run, conf(), note="")
        for run in ("b", "a"):
            clock.advance(1)
            fail(run)
        first, second = workflow.failed(TRAIN, since=before, limit=9)
        assert [first.run_id, second.run_id, dict(first.conf)] == ["b", "a", conf()]
        assert second.ended_at is not None
        assert [run.run_id for run in workflow.failed(TRAIN, since=before, limit=1)] == ["b"]
        assert [run.run_id for run in workflow.failed(TRAIN, since=second.ended_at, limit=9)] == ["a"]
        assert list(workflow.failed(TRAIN, since=second.ended_at + timedelta(seconds=1), limit=9)) == []


def test_a_task_that_left_no_reason_has_an_empty_one() -> None:
    airflow = AirflowStandIn()
    workflow = client(airflow)
    workflow.start(TRAIN, "x", conf(), note="")
    airflow.fail(TRAIN, "x", prepare=None)
    assert workflow.failures(TRAIN, "x") == [TaskFailure(task="prepare", reason="")]


@pytest.mark.parametrize("kind", ["memory", "port"])
def test_an_engine_that_is_away_says_so(kind: str, unused_port: int) -> None:
    workflow: Workflow = InMemoryWorkflow()
    if isinstance(workflow, InMemoryWorkflow):
        workflow.reachable = False
    if kind == "port":
        workflow = open_workflow(AirflowSettings(url=f"http://127.0.0.1:{unused_port}"))
    with pytest.raises(WorkflowUnavailable):
        workflow.start(TRAIN, "x", conf(), note="")
    with pytest.raises(WorkflowUnavailable):
        workflow.run(TRAIN, "x")


def test_a_conf_that_breaks_a_params_schema_is_refused_for_good() -> None:
    with pytest.raises(Permanent, match="Invalid input for param customer_id"):
        client(AirflowStandIn()).start(TRAIN, "x", conf("REFUSED"), note="")


def test_an_import_error_heals_though_airflow_says_400_too() -> None:
    with pytest.raises(WorkflowUnavailable, match="import errors"):
        client(AirflowStandIn(import_errors=True)).start(TRAIN, "x", conf(), note="")


def test_a_dag_that_is_not_parsed_yet_is_waited_for() -> None:
    with pytest.raises(WorkflowUnavailable, match="does not know DAG"):
        client(AirflowStandIn(dags=set())).start(TRAIN, "x", conf(), note="")


def test_the_logical_date_is_null_since_two_runs_may_not_share_one() -> None:
    airflow = AirflowStandIn()
    client(airflow).start(TRAIN, "x", conf(), note="why")
    assert airflow.bodies == [{"dag_run_id": "x", "logical_date": None, "conf": conf(), "note": "why"}]


def test_an_expired_token_is_replaced_once_and_unseen() -> None:
    airflow = AirflowStandIn()
    workflow = client(airflow)
    workflow.start(TRAIN, "x", conf(), note="")
    airflow.expired.add("token-1")
    workflow.start(TRAIN, "y", conf(), note="")
    assert airflow.tokens == 2
    assert (TRAIN, "y") in airflow.runs


def test_a_login_that_is_refused_names_the_settings() -> None:
    wrong = AirflowSettings(url="http://airflow.test", username="ann", password=SecretStr("wrong"))
    with pytest.raises(WorkflowUnavailable, match="ROOST_AIRFLOW__PASSWORD") as caught:
        client(AirflowStandIn(), wrong).start(TRAIN, "x", conf(), note="")
    assert "wrong" not in str(caught.value)


def test_without_a_user_name_the_token_is_asked_for_by_get() -> None:
    airflow = AirflowStandIn()
    client(airflow, AirflowSettings(url="http://airflow.test")).start(TRAIN, "x", conf(), note="")
    assert airflow.tokens == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 403])
def test_a_server_in_trouble_is_waited_for(status: int) -> None:
    with pytest.raises(WorkflowUnavailable):
        client(AirflowStandIn(broken=status)).start(TRAIN, "x", conf(), note="")


def test_another_server_on_the_port_is_told_apart() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t"})
        return httpx.Response(200, text="<html>hello</html>")

    workflow = AirflowWorkflow(SETTINGS, httpx.Client(base_url="http://x", transport=httpx.MockTransport(page)))
    with pytest.raises(WorkflowUnavailable, match="does not answer like Airflow"):
        workflow.start(TRAIN, "x", conf(), note="")
