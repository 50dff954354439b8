"""DAG `train_customer_model`: one run trains one customer's model and hands it to the deployer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import Asset, Param, dag, task

from dags.airflow_side import OUTAGE_RETRIES, TASK_ARGUMENTS, RolloutLink, no_retry_where_final
from roost.contracts.ids import DEFAULT_MODEL, ID_PATTERN

#: Lineage: every trained model is an event of this asset; its extra says whose and which.
MODELS = Asset(name="customer_models", uri="roost://models.ready")
ID_FORM = {"type": "string", "pattern": ID_PATTERN}
PARAMS = {
    "customer_id": Param(
        "ua", title="Customer", description="Whose model, such as an airline's code in lower case.", **ID_FORM
    ),
    "model": Param(DEFAULT_MODEL, title="Model", description="Which of the customer's models.", **ID_FORM),
    "reason": Param("", type="string", title="Reason", description="Why now; people read it.", maxLength=2000),
    "data_window": Param(
        None,
        type=["null", "string"],
        pattern=r"^\d{4}-\d{2}-\d{2}:\d{4}-\d{2}-\d{2}$",
        title="Data window",
        description="Two dates in UTC, the last left out, as 2013-01-01:2013-07-01. Empty: all data.",
    ),
    "wave_id": Param(None, type=["null", "string"], title="Wave", description="Set by retrain_due_customers."),
}


class Publish(PythonOperator):
    """Publishes, and links to the rollout."""

    operator_extra_links = (RolloutLink(),)


def publish_model(order: dict[str, Any], facts: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
    """Say that the artifact is ready; wait for the acknowledgement."""
    from training import tasks

    with no_retry_where_final():
        told = tasks.publish(order, facts)
    outlet_events[MODELS].extra = {"customer": order["customer_id"], "model": order["model"], "digest": told["digest"]}
    return told


@dag(
    dag_id="train_customer_model",
    dag_display_name="Train a customer's model",
    description="Load, check, train, evaluate, export, stage; then tell the deployer.",
    schedule=None,
    params=PARAMS,
    default_args=TASK_ARGUMENTS,
    tags=["roost", "training"],
    doc_md="Trigger it with a customer id. The run's last task links to the rollout in the console. "
    "See docs/training.md for data sets, own models and what each refusal means.",
)
def train_customer_model() -> None:
    """Prepare, train and stage, publish."""

    @task
    def prepare(params: dict[str, Any], run_id: str) -> dict[str, Any]:
        from training import tasks

        with no_retry_where_final():
            return tasks.prepare(dict(params), run_id)

    @task(execution_timeout=timedelta(hours=2), max_active_tis_per_dag=4)
    def train_and_stage(order: dict[str, Any]) -> dict[str, Any]:
        from training import tasks

        with no_retry_where_final():
            return tasks.train(order)

    order = prepare()
    Publish(
        task_id="publish",
        # A broker that is away must not cost a model that is trained.
        retries=OUTAGE_RETRIES,
        python_callable=publish_model,
        op_kwargs={"order": order, "facts": train_and_stage(order)},
        outlets=[MODELS],
    )


train_customer_model()
