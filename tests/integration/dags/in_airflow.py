"""Runs inside Airflow's process: prints what a DAG, or the whole folder, came to, as one line of JSON at the end."""

from __future__ import annotations

import json
import sys
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
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    ended = DagBag().dags[dag_id].test(run_conf=json.loads(conf))
    with create_session() as session:
        values = session.query(XComModel).filter(XComModel.run_id == ended.run_id).all()
        others = session.query(DagRun).filter(DagRun.run_id != ended.run_id).all()
        return {
            "state": str(ended.state),
            "tasks": {task.task_id: str(task.state) for task in ended.get_task_instances()},
            "xcoms": {f"{value.task_id}.{value.key}": XComModel.deserialize_value(value) for value in values},
            "started": {
                other.run_id: {"conf": other.conf, "after": other.run_after.isoformat()}
                for other in others
                if other.dag_id != dag_id
            },
        }


if __name__ == "__main__":
    print("\n" + json.dumps(folder() if sys.argv[1] == "folder" else run(*sys.argv[1:]), default=str))
