"""Rollouts, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from roost.adapters.postgres import rollout_sql as sql
from roost.adapters.postgres.database import Cursor, Database
from roost.adapters.postgres.newer import known
from roost.adapters.postgres.outbox import append, first_time, notify
from roost.adapters.postgres.rows import (
    INSERT_TRANSITION,
    rollout_of,
    rollout_values,
    transition_of,
    transition_values,
)
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict, NotFound
from roost.contracts.ids import attempts_of, run_of
from roost.contracts.rollout import EXCLUSIVE, Phase, Rollout, Transition
from roost.ports.ledger import Change, RolloutQuery


class PostgresRollouts:
    """Implements `RolloutLedger`, quarantine apart."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def receive(self, rollout: Rollout, *, event_id: str, events: Sequence[Event]) -> bool:
        """Insert a rollout in RECEIVED."""
        first = Transition.first(rollout)
        with self._database.transaction() as cursor:
            if not first_time(cursor, "models.ready", event_id, self._database.stamp):
                return False
            cursor.execute(sql.INSERT, {**rollout_values(rollout), "now": self._database.stamp})
            if cursor.rowcount == 0:
                return False
            cursor.execute(INSERT_TRANSITION, transition_values(first))
            cursor.execute(
                sql.TRAINED,
                {
                    "customer": rollout.customer,
                    "model": rollout.model,
                    "run_id": run_of(rollout.run_id),
                    "trained_at": rollout.trained_at,
                },
            )
            notify(cursor, "rollouts")
            append(cursor, events)
            return True

    def rollout(self, rollout_id: str) -> Rollout:
        """Raises `NotFound`."""
        with self._database.transaction() as cursor:
            row = cursor.execute("SELECT * FROM rollouts WHERE id = %s", [rollout_id]).fetchone()
            if row is None:
                raise _unknown(rollout_id)
            return rollout_of(row)

    def rollouts(self, query: RolloutQuery) -> Sequence[Rollout]:
        """By `received_at`, newest first."""
        values = {
            "customer": query.customer,
            "model": query.model,
            "pool": query.pool,
            "attempts": None if query.run_id is None else list(attempts_of(query.run_id)),
            "before": query.before,
            "limit": query.limit,
            "phases": None if query.phases is None else [phase.value for phase in query.phases],
        }
        with self._database.transaction() as cursor:
            return known(cursor.execute(sql.SEARCH, values), rollout_of)

    def history(self, rollout_id: str) -> Sequence[Transition]:
        """Oldest first."""
        query = "SELECT * FROM transitions WHERE rollout_id = %s ORDER BY sequence"
        with self._database.transaction() as cursor:
            lines = known(cursor.execute(query, [rollout_id]), transition_of)
        # The first line is written with the rollout, so an empty history is that of no rollout.
        if not lines:
            raise _unknown(rollout_id)
        return lines

    def claim(self, phases: frozenset[Phase], *, owner: str, limit: int, lease_seconds: float) -> Sequence[Rollout]:
        """Take due rows that nobody holds, and lease them."""
        values = {
            "phases": [phase.value for phase in phases],
            "owner": owner,
            "limit": limit,
            "seconds": lease_seconds,
            "now": self._database.stamp,
        }
        with self._database.transaction() as cursor:
            rows = known(cursor.execute(sql.CLAIM, values), rollout_of)
        return sorted(rows, key=lambda row: (row.received_at, row.id))

    def give_back(self, rollout_id: str, *, owner: str, due_in_seconds: float) -> None:
        """Drop the lease without a change."""
        values = {"id": rollout_id, "owner": owner, "seconds": due_in_seconds, "now": self._database.stamp}
        with self._database.transaction() as cursor:
            cursor.execute(sql.GIVE_BACK, values)

    def apply(self, changes: Sequence[Change]) -> None:
        """Write transitions, all or none."""
        if not changes:
            return
        with self._database.transaction() as cursor:
            write(cursor, changes, now=self._database.stamp)
            append(cursor, [event for change in changes for event in change.events])

    def allocate_version(self, rollout_id: str) -> int:
        """Next version of the served name, the same again for the same rollout."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT customer, model FROM rollouts WHERE id = %s FOR UPDATE", [rollout_id])
            name = cursor.fetchone()
            if name is None:
                raise _unknown(rollout_id)
            cursor.execute("SELECT version FROM version_allocations WHERE rollout_id = %s", [rollout_id])
            row = cursor.fetchone() or cursor.execute(sql.ALLOCATE, {**name, "id": rollout_id}).fetchone()
            if row is None:
                raise _unknown(rollout_id)
            return int(row["version"])

    def live(self, customer: str, model: str) -> Rollout | None:
        """What the pool should answer with."""
        with self._database.transaction() as cursor:
            row = cursor.execute(sql.LIVE, [customer, model]).fetchone()
            return None if row is None else rollout_of(row)


def write(cursor: Cursor, changes: Sequence[Change], *, now: datetime | None) -> None:
    """Write transitions, but not their events: `append` comes last in a transaction. Raises `Conflict`, `NotFound`."""
    _lock(cursor, changes)
    # Those that make room go first: the index that allows one rollout per name is checked by statement.
    for change in sorted(changes, key=lambda one: one.after.phase in EXCLUSIVE):
        values = rollout_values(change.after) | {"id": change.before.id, "revision": change.before.revision + 1}
        cursor.execute(sql.UPDATE, {**values, "now": now})
        cursor.execute(INSERT_TRANSITION, transition_values(change.transition))
    notify(cursor, "rollouts")


def _unknown(rollout_id: str) -> NotFound:
    return NotFound(f"there is no rollout {rollout_id!r}")


def _lock(cursor: Cursor, changes: Sequence[Change]) -> None:
    """Lock the rows in one order, so that two writers never wait for each other, and compare revisions."""
    expected = {change.before.id: change.before.revision for change in changes}
    cursor.execute("SELECT id, revision FROM rollouts WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [list(expected)])
    found = {row["id"]: row["revision"] for row in cursor}
    for rollout_id, revision in expected.items():
        if rollout_id not in found:
            raise _unknown(rollout_id)
        if found[rollout_id] != revision:
            raise Conflict(f"rollout {rollout_id} changed since it was read")
