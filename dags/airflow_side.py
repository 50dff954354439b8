"""What the DAGs share with Airflow: which errors are final, and the link from a task to its rollout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperatorLink, get_current_context
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.xcom import XCom

#: Every task: transient trouble heals in minutes; a task is a transaction, so trying again makes no duplicate.
TASK_ARGUMENTS = {
    "retries": 4,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
#: Hours, once the pauses have grown to ten minutes: of a task that must outlast an outage of what it talks to.
OUTAGE_RETRIES = 40


@contextmanager
def no_retry_where_final() -> Iterator[None]:
    """An error that comes again however often it is tried fails the task at once.

    What went wrong is left where the consumer that follows the run finds it: a log would have to be guessed at.
    """
    from roost.contracts.errors import Permanent, RoostError
    from roost.contracts.wording import keepable
    from roost.ports.workflow import FAILURE_KEY

    try:
        yield
    except RoostError as error:
        try:
            get_current_context()["ti"].xcom_push(FAILURE_KEY, keepable(str(error)))
        finally:
            # Also where it could not be left: no retry mends it.
            if isinstance(error, Permanent):
                raise AirflowFailException(str(error)) from error
        raise


class RolloutLink(BaseOperatorLink):
    """From the publishing task to the console's page of the rollout."""

    name = "Rollout"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 (Airflow's signature)
        """The page that the task gave with its result; empty until it did."""
        facts = XCom.get_value(ti_key=ti_key, key="return_value")
        return facts["rollout_page"] if isinstance(facts, dict) else ""
