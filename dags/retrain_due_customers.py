"""DAG `retrain_due_customers`: starts a run for every served model that has grown old, spread over time."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, task

from dags.airflow_side import TASK_ARGUMENTS, no_retry_where_final

#: Airflow maps a task over at most 1,024 entries; what is left over is due in the next wave.
LARGEST_WAVE = 1000
PARAMS = {
    "older_than_days": Param(7.0, type="number", minimum=0, title="Older than (days)"),
    "limit": Param(500, type="integer", minimum=1, maximum=LARGEST_WAVE, title="Most runs in this wave"),
    "spread_minutes": Param(60.0, type="number", minimum=0, title="Spread over (minutes)"),
    "label": Param(
        None,
        type=["null", "string"],
        pattern=r"^[A-Za-z0-9_.-]{1,40}$",
        title="Wave",
        description="Part of the run ids; today's date if empty. The same wave never starts a run twice.",
    ),
}


@dag(
    dag_id="retrain_due_customers",
    dag_display_name="Retrain the customers that are due",
    description="Oldest models first, in waves, spread over time.",
    schedule="17 3 * * *",
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args=TASK_ARGUMENTS,
    tags=["roost", "training"],
)
def retrain_due_customers() -> None:
    """List who is due, then start one run each."""

    @task
    def list_due(params: dict[str, Any]) -> list[dict[str, Any]]:
        from training import tasks

        with no_retry_where_final():
            return tasks.due_runs(dict(params))

    TriggerDagRunOperator.partial(
        task_id="start",
        trigger_dag_id="train_customer_model",
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_run_id }}",
    ).expand_kwargs(list_due())


retrain_due_customers()
