"""Customers, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from roost.adapters.postgres.database import Database
from roost.adapters.postgres.newer import known
from roost.adapters.postgres.outbox import first_time, notify
from roost.adapters.postgres.rows import onboarding_of
from roost.contracts.events import CustomerSignedUp
from roost.contracts.rollout import ANSWERED
from roost.ports.ledger import Onboarding, OnboardingStage, due_order

_SIGN_UP: Final = """
INSERT INTO onboardings (customer, model, name, stage, event_id, signed_up_at, airflow_run_id, traceparent)
VALUES (%(customer)s, %(model)s, %(name)s, 'signed_up', %(event_id)s, %(at)s, %(run_id)s, %(traceparent)s)
ON CONFLICT (customer) DO UPDATE SET
    model = excluded.model, name = excluded.name, stage = excluded.stage, event_id = excluded.event_id,
    signed_up_at = excluded.signed_up_at, airflow_run_id = excluded.airflow_run_id,
    traceparent = excluded.traceparent,
    attempts = 0, next_attempt_at = NULL, error = NULL, reason = '', lease_until = NULL
WHERE NOT (onboardings.stage IN ('signed_up', 'training', 'trained') AND onboardings.model = excluded.model)
"""
_OFFBOARD: Final = """
UPDATE onboardings SET stage = 'leaving', event_id = %(event_id)s, reason = %(reason)s, left_at = %(at)s,
    attempts = 0, next_attempt_at = %(at)s, error = NULL, lease_until = NULL
WHERE customer = %(customer)s AND stage NOT IN ('leaving', 'gone')
"""
_DUE: Final = """
UPDATE onboardings SET lease_until = %(until)s
WHERE customer IN (
    SELECT customer FROM onboardings
    WHERE stage IN ('signed_up', 'training', 'leaving')
      AND (lease_until IS NULL OR lease_until <= %(now)s)
      AND (next_attempt_at IS NULL OR next_attempt_at <= %(now)s)
    ORDER BY stage = 'training', coalesce(next_attempt_at, signed_up_at), customer
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
RETURNING *
"""
# Event and run are the fence: a customer who left, came back, or is trained by another run meanwhile keeps that.
_SET: Final = """
UPDATE onboardings SET stage = %(stage)s, attempts = %(attempts)s, next_attempt_at = %(next_attempt_at)s,
    error = %(error)s, lease_until = NULL,
    failed_at = CASE WHEN %(stage)s = 'failed' THEN coalesce(%(now)s::timestamptz, clock_timestamp()) END
WHERE customer = %(customer)s AND event_id = %(event_id)s AND airflow_run_id = %(run_id)s
"""
# Who was found answered is never looked at again: both statements go by the index `onboardings_unanswered`.
_UNANSWERED: Final = """
stage IN ('signed_up', 'training', 'trained') AND answered_for IS DISTINCT FROM signed_up_at
"""
_ANSWERED: Final = f"""
UPDATE onboardings SET answered_for = signed_up_at
WHERE {_UNANSWERED} AND EXISTS (
    SELECT 1 FROM rollouts
    WHERE rollouts.customer = onboardings.customer AND phase = ANY(%(answered)s) AND received_at >= signed_up_at)
"""  # noqa: S608  # our own words
_OLDEST: Final = f"SELECT min(signed_up_at) AS oldest FROM onboardings WHERE {_UNANSWERED}"  # noqa: S608  # our own words
_FOLLOW: Final = """
UPDATE onboardings SET stage = 'training', airflow_run_id = %(run_id)s, attempts = 0, next_attempt_at = NULL,
    error = NULL, lease_until = NULL
WHERE customer = %(customer)s AND model = %(model)s AND stage IN ('training', 'trained', 'failed', 'refused')
"""
_STANDS: Final = "SELECT * FROM onboardings WHERE customer = %(customer)s FOR UPDATE"
_DROP: Final = "UPDATE onboardings SET lease_until = NULL WHERE customer = %(customer)s"


class PostgresOnboarding:
    """Implements `OnboardingLedger`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def sign_up(
        self, event_id: str, payload: CustomerSignedUp, *, at: datetime, run_id: str, traceparent: str | None = None
    ) -> bool:
        """Insert or revive the row."""
        values = {**payload.model_dump(), "event_id": event_id, "at": at, "run_id": run_id}
        values["traceparent"] = traceparent
        return self._take_in(_SIGN_UP, event_id, values)

    def offboard(self, event_id: str, customer: str, reason: str, *, at: datetime) -> bool:
        """Mark the customer LEAVING."""
        values = {"event_id": event_id, "customer": customer, "reason": reason, "at": at}
        return self._take_in(_OFFBOARD, event_id, values)

    def onboarding(self, customer: str) -> Onboarding | None:
        """The customer's row."""
        with self._database.transaction() as cursor:
            row = cursor.execute("SELECT * FROM onboardings WHERE customer = %s", [customer]).fetchone()
            return None if row is None else onboarding_of(row)

    def customers(self, stage: OnboardingStage | None = None) -> Sequence[Onboarding]:
        """All rows, or those of one stage, by customer."""
        query = 'SELECT * FROM onboardings WHERE %(s)s::text IS NULL OR stage = %(s)s ORDER BY customer COLLATE "C"'
        with self._database.transaction() as cursor:
            cursor.execute(query, {"s": None if stage is None else stage.value})
            return known(cursor, onboarding_of)

    def due_onboardings(self, *, now: datetime, limit: int, lease_seconds: float) -> Sequence[Onboarding]:
        """Rows that need a run, leased."""
        values = {"now": now, "until": now + timedelta(seconds=lease_seconds), "limit": limit}
        with self._database.transaction() as cursor:
            rows = known(cursor.execute(_DUE, values), onboarding_of)
        return sorted(rows, key=due_order)

    def oldest_unanswered(self) -> datetime | None:
        """The longest waiting signup."""
        with self._database.transaction() as cursor:
            cursor.execute(_ANSWERED, {"answered": sorted(ANSWERED)})
            row = cursor.execute(_OLDEST).fetchone()
            oldest: datetime | None = row["oldest"] if row else None
            return oldest

    def set_onboarding(self, row: Onboarding) -> None:
        """Write what became of it, and drop the lease."""
        values = {
            "customer": row.customer,
            "event_id": row.event_id,
            "run_id": row.airflow_run_id,
            "stage": row.stage.value,
            "attempts": row.attempts,
            "next_attempt_at": row.next_attempt_at,
            "error": row.error,
            "now": self._database.stamp,
        }
        with self._database.transaction() as cursor:
            cursor.execute(_SET, values)
            if cursor.rowcount == 0:
                cursor.execute(_DROP, values)

    def follow_run(self, customer: str, model: str, run_id: str) -> bool:
        """The row is about this run from now on."""
        with self._database.transaction() as cursor:
            cursor.execute(_FOLLOW, {"customer": customer, "model": model, "run_id": run_id})
            if cursor.rowcount == 0:
                return False
            notify(cursor, "onboarding")
            return True

    def _take_in(self, statement: str, event_id: str, values: dict[str, object]) -> bool:
        with self._database.transaction() as cursor:
            if not first_time(cursor, "customers", event_id, self._database.stamp):
                return False
            row = cursor.execute(_STANDS, values).fetchone()
            if row is not None:
                # A stage that this release does not know is not overwritten: the event comes again.
                onboarding_of(row)
            cursor.execute(statement, values)
            if cursor.rowcount == 0:
                return False
            notify(cursor, "onboarding")
            return True
