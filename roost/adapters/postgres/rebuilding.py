"""Filling a ledger, in PostgreSQL: one transaction, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final

from psycopg import sql as composed
from psycopg.types.json import Jsonb

from roost.adapters.postgres import rollout_sql as sql
from roost.adapters.postgres.database import Cursor, Database
from roost.adapters.postgres.generations import RESERVE
from roost.adapters.postgres.outbox import append, notify
from roost.adapters.postgres.rows import (
    INSERT_EVENT,
    INSERT_TRANSITION,
    event_values,
    rollout_values,
    transition_values,
)
from roost.contracts.errors import Conflict
from roost.contracts.rollout import EXCLUSIVE
from roost.ports.ledger import Onboarding
from roost.ports.rebuilding import Contents, RebuiltRollout

#: Everything but leases, which hold no facts.
_TABLES: Final = (
    "inbox",
    "onboardings",
    "rollouts",
    "transitions",
    "served_versions",
    "version_allocations",
    "quarantines",
    "commands",
    "freezes",
    "outbox",
    "pool_generations",
)
_INBOX: Final = "INSERT INTO inbox (kind, event_id, received_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
# An event that the ledger has taken in already is older than what the row says now.
_ONBOARDING: Final = """
INSERT INTO onboardings (customer, model, name, stage, event_id, signed_up_at, airflow_run_id, next_attempt_at, error,
    reason, left_at)
VALUES (%(customer)s, %(model)s, %(name)s, %(stage)s, %(event_id)s, %(signed_up_at)s, %(airflow_run_id)s,
    %(next_attempt_at)s, %(error)s, %(reason)s, %(left_at)s)
ON CONFLICT (customer) DO UPDATE SET model = excluded.model, name = excluded.name, stage = excluded.stage,
    event_id = excluded.event_id, signed_up_at = excluded.signed_up_at, airflow_run_id = excluded.airflow_run_id,
    attempts = 0, next_attempt_at = excluded.next_attempt_at, error = excluded.error, reason = excluded.reason,
    left_at = coalesce(excluded.left_at, onboardings.left_at), lease_until = NULL
WHERE NOT EXISTS (SELECT 1 FROM inbox WHERE kind = 'customers' AND inbox.event_id = excluded.event_id)
"""
_ADVANCED: Final = "SELECT id, revision FROM rollouts WHERE id = ANY(%s) FOR UPDATE"
_HISTORY: Final = INSERT_TRANSITION + "ON CONFLICT DO NOTHING"
_LAST: Final = """
INSERT INTO served_versions (customer, model, last_version) VALUES (%s, %s, %s)
ON CONFLICT (customer, model) DO UPDATE SET last_version = greatest(served_versions.last_version, excluded.last_version)
"""
_ALLOCATED: Final = """
INSERT INTO version_allocations (rollout_id, customer, model, version) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_QUARANTINE: Final = """
INSERT INTO quarantines (digest, customer, model, reason, actor, at)
VALUES (%(digest)s, %(customer)s, %(model)s, %(reason)s, %(actor)s, %(at)s) ON CONFLICT DO NOTHING
"""
_FREEZE: Final = """
INSERT INTO freezes (scope, reason, actor, at) VALUES (%(scope)s, %(reason)s, %(actor)s, %(at)s) ON CONFLICT DO NOTHING
"""
_COMMAND: Final = """
INSERT INTO commands (event_id, command, received_at, done_at, outcome) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (event_id) DO UPDATE SET done_at = excluded.done_at, outcome = excluded.outcome
WHERE commands.done_at IS NULL
"""
_CHANGED: Final = "UPDATE rollouts SET changed = nextval('rollout_changes') WHERE id = %s"


class PostgresRebuilding:
    """Implements `RebuildLedger`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def rows(self) -> Mapping[str, int]:
        """Rows by table."""
        with self._database.transaction() as cursor:
            return _rows(cursor)

    def fill(self, contents: Contents, *, onto: bool = False) -> None:
        """Write everything, or nothing."""
        with self._database.transaction() as cursor:
            # Nobody writes meanwhile: what a consumer took in before this is seen, and what comes later waits.
            cursor.execute("SET LOCAL statement_timeout = 0")
            names = composed.SQL(", ").join(map(composed.Identifier, _TABLES))
            cursor.execute(composed.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
            found = {table: count for table, count in _rows(cursor).items() if count}
            if found and not onto:
                raise Conflict(f"the ledger is not empty: {', '.join(f'{n} {table}' for table, n in found.items())}")
            _fill_customers(cursor, contents)
            _fill_rollouts(cursor, contents, self._database.stamp)
            _fill_decisions(cursor, contents)
            cursor.executemany(RESERVE, list(contents.generations.items()))
            _fill_events(cursor, contents)


def _rows(cursor: Cursor) -> dict[str, int]:
    counts = {}
    for table in _TABLES:
        query = composed.SQL("SELECT count(*) AS n FROM {}").format(composed.Identifier(table))
        row = cursor.execute(query).fetchone()
        counts[table] = int(row["n"]) if row else 0
    return counts


def _fill_customers(cursor: Cursor, contents: Contents) -> None:
    # Before the inbox: whether a row's event is known there says which of the two is newer.
    cursor.executemany(_ONBOARDING, [_onboarding_values(row) for row in contents.onboardings])
    cursor.executemany(_INBOX, [[one.kind, one.event_id, one.at] for one in contents.inbox])
    notify(cursor, "onboarding")


def _onboarding_values(row: Onboarding) -> dict[str, object]:
    return {**asdict(row), "stage": row.stage.value}


def _fill_rollouts(cursor: Cursor, contents: Contents, now: datetime | None) -> None:
    cursor.execute(_ADVANCED, [[one.rollout.id for one in contents.rollouts]])
    known = {row["id"]: int(row["revision"]) for row in cursor}
    # Those that make room go first: the index that allows one rollout per name is checked by statement.
    for one in sorted(contents.rollouts, key=lambda one: one.rollout.phase in EXCLUSIVE):
        _write(cursor, one, known.get(one.rollout.id), now)
    cursor.executemany(_LAST, [[*name, number] for name, number in contents.last_versions.items()])
    cursor.executemany(_CHANGED, [[rollout_id] for rollout_id in contents.answering])
    notify(cursor, "rollouts")


def _write(cursor: Cursor, rebuilt: RebuiltRollout, known: int | None, now: datetime | None) -> None:
    row = rebuilt.rollout
    if known is not None and known >= row.revision:
        return
    values = {**rollout_values(row), "now": now}
    if known is None:
        cursor.execute(sql.INSERT, values)
        if cursor.rowcount == 0:
            # The same artifact under another id: the ledger's own stays.
            return
    else:
        cursor.execute(sql.UPDATE, values)
    cursor.executemany(_HISTORY, [transition_values(line) for line in rebuilt.history])
    if row.version:
        cursor.execute(_ALLOCATED, [row.id, row.customer, row.model, row.version])


def _fill_decisions(cursor: Cursor, contents: Contents) -> None:
    cursor.execute("DELETE FROM quarantines WHERE digest = ANY(%s)", [sorted(contents.released)])
    cursor.executemany(_QUARANTINE, [asdict(entry) for entry in contents.quarantines])
    cursor.execute("DELETE FROM freezes WHERE scope = ANY(%s)", [sorted(contents.thawed)])
    cursor.executemany(_FREEZE, [asdict(entry) for entry in contents.freezes])
    cursor.executemany(
        _COMMAND,
        [
            [row.event_id, Jsonb(row.command.model_dump(mode="json")), row.received_at, row.done_at, row.outcome]
            for row in contents.commands
        ],
    )


def _fill_events(cursor: Cursor, contents: Contents) -> None:
    cursor.executemany(INSERT_EVENT, [event_values(event) for event in contents.told])
    cursor.execute(
        "UPDATE outbox SET published_at = now() WHERE published_at IS NULL AND event_id = ANY(%s)",
        [[event.id for event in contents.told]],
    )
    append(cursor, contents.untold)
