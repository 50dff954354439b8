"""Runs inside Airflow's process: prints what a DAG, or the whole folder, came to, as one line of JSON at the end."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.dag_processing.dagbag import DagBag


def folder() -> dict[str, Any]:
    bag = DagBag()
    loaded = {name.partition(".")[0] for name in sys.modules}
    return {
        "errors": bag.import_errors,
        "dags": {
            dag_id: {
                "tasks": {task.task_id: task.retries for task in dag.tasks},
                "params": sorted(dag.params),
                "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
            }
            for dag_id, dag in bag.dags.items()
        },
        "loaded": sorted(loaded & {"tensorflow", "pyarrow", "kafka", "training", "google"}),
    }


def run(dag_id: str, conf: str) -> dict[str, Any]:
    from airflow.models.dagrun import DagRun, DagRunNote
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    ended = DagBag().dags[dag_id].test(run_conf=json.loads(conf))
    with create_session() as session:
        values = session.query(XComModel).filter(XComModel.run_id == ended.run_id).all()
        notes = dict(session.query(DagRunNote.dag_run_id, DagRunNote.content).all())
        others = session.query(DagRun).filter(DagRun.run_id != ended.run_id).all()
        return {
            "run_id": ended.run_id,
            "state": str(ended.state),
            "tasks": {task.task_id: str(task.state) for task in ended.get_task_instances()},
            "xcoms": {f"{value.task_id}.{value.key}": XComModel.deserialize_value(value) for value in values},
            "started": {
                other.run_id: {"conf": other.conf, "after": other.run_after.isoformat(), "note": notes.get(other.id)}
                for other in others
                if other.dag_id != dag_id
            },
        }


def seen(dag_id: str, conf: str) -> dict[str, Any]:
    """Run it; then what Roost's own client reads of the run through Airflow's API."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    from roost.adapters.airflow import AirflowWorkflow
    from roost.settings import AirflowSettings

    ended = run(dag_id, conf)
    with TestClient(create_app()) as client:
        workflow = AirflowWorkflow(AirflowSettings(url="http://testserver"), client)
        found = workflow.run(dag_id, ended["run_id"])
        failures = workflow.failures(dag_id, ended["run_id"])
        failed = workflow.failed(dag_id, since=datetime.now(UTC) - timedelta(minutes=9), limit=100)
        later = workflow.failed(dag_id, since=datetime.now(UTC) + timedelta(minutes=9), limit=100)
        nobody = workflow.failures(dag_id, "no-such-run")
        unknown = [
            workflow.run(dag_id, "no-such-run"),
            *workflow.failed("no-such-dag", since=datetime.now(UTC), limit=9),
        ]
    return {
        **ended,
        "seen": None if found is None else found.state,
        "failures": {failure.task: failure.reason for failure in failures},
        "failed": [(one.run_id, dict(one.conf)["customer_id"], one.ended_at) for one in failed],
        "later": list(later),
        "nobody": list(nobody),
        "unknown": unknown,
    }


if __name__ == "__main__":
    asked = {"folder": folder, "seen": seen}.get(sys.argv[1])
    print("\n" + json.dumps(asked(*sys.argv[2:]) if asked else run(*sys.argv[1:]), default=str))
