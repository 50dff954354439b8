"""DAG `retire_customer_models`: after a customer left and nothing serves them any more, deletes their artifacts.

The customer left at the run's own `run_after`, which stays when a task is cleared: a run that waited or failed for
long deletes nothing of a customer who came back meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, PokeReturnValue, dag, task

from dags.airflow_side import OUTAGE_RETRIES, TASK_ARGUMENTS, no_retry_where_final
from roost.contracts.ids import ID_PATTERN

PARAMS = {
    "customer_id": Param("nobody", type="string", pattern=ID_PATTERN, title="Customer that left"),
    "reason": Param("", type="string", title="Reason", maxLength=2000),
}


@dag(
    dag_id="retire_customer_models",
    dag_display_name="Retire a customer's models",
    description="Waits until no pool lists the customer, then deletes staged and deployed artifacts.",
    schedule=None,
    params=PARAMS,
    # Nobody starts a retirement again by themselves: an outage of the object store must not end it.
    default_args={**TASK_ARGUMENTS, "retries": OUTAGE_RETRIES},
    tags=["roost"],
)
def retire_customer_models() -> None:
    """Wait, then delete."""

    @task.sensor(poke_interval=15, mode="reschedule", timeout=timedelta(days=2).total_seconds())
    def until_unserved(params: dict[str, Any], dag_run: Any) -> PokeReturnValue:
        from training import tasks

        with no_retry_where_final():
            is_done = tasks.is_unserved(params["customer_id"], left_at=dag_run.run_after)
        return PokeReturnValue(is_done=is_done)

    @task
    def delete_artifacts(params: dict[str, Any], dag_run: Any) -> int:
        from training import tasks

        with no_retry_where_final():
            return tasks.delete_artifacts(params["customer_id"], left_at=dag_run.run_after)

    until_unserved() >> delete_artifacts()


retire_customer_models()
