"""Commands and freezes, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from roost.adapters.postgres.database import Database
from roost.adapters.postgres.newer import known
from roost.adapters.postgres.outbox import append, notify
from roost.adapters.postgres.rollouts import write
from roost.adapters.postgres.rows import command_of
from roost.contracts.cloudevents import Event
from roost.contracts.errors import NotFound
from roost.contracts.events import DeployCommand
from roost.ports.ledger import Change, CommandRow, Freeze

_SUBMIT: Final = """
INSERT INTO commands (event_id, command, received_at, traceparent) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_FREEZE: Final = """
INSERT INTO freezes (scope, reason, actor, at) VALUES (%(scope)s, %(reason)s, %(actor)s, %(at)s)
ON CONFLICT (scope) DO UPDATE SET reason = excluded.reason, actor = excluded.actor, at = excluded.at
"""

# Column by column: a newer schema may have more.
_FREEZES: Final = 'SELECT scope, reason, actor, at FROM freezes ORDER BY scope COLLATE "C"'


class PostgresCommands:
    """Implements `CommandLedger`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def submit(self, event_id: str, command: DeployCommand, *, at: datetime, traceparent: str | None = None) -> bool:
        """Accept a command."""
        with self._database.transaction() as cursor:
            cursor.execute(_SUBMIT, [event_id, Jsonb(command.model_dump(mode="json")), at, traceparent])
            if cursor.rowcount == 0:
                return False
            notify(cursor, "commands")
            return True

    def open_commands(self, limit: int) -> Sequence[CommandRow]:
        """Those not done, oldest first."""
        query = "SELECT * FROM commands WHERE done_at IS NULL ORDER BY sequence LIMIT %s"
        with self._database.transaction() as cursor:
            return known(cursor.execute(query, [limit]), command_of)

    def close_command(
        self, event_id: str, *, outcome: str, at: datetime, events: Sequence[Event], changes: Sequence[Change] = ()
    ) -> bool:
        """Write what became of it, with the transitions that it led to; one that is closed stays as it is."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT done_at FROM commands WHERE event_id = %s FOR UPDATE", [event_id])
            row = cursor.fetchone()
            if row is None:
                raise NotFound(f"there is no command {event_id!r}")
            if row["done_at"] is not None:
                return False
            if changes:
                write(cursor, changes, now=self._database.stamp)
            cursor.execute(
                "UPDATE commands SET done_at = %s, outcome = %s WHERE event_id = %s", [at, outcome, event_id]
            )
            append(cursor, [*(event for change in changes for event in change.events), *events])
            return True

    def commands(self, limit: int) -> Sequence[CommandRow]:
        """The newest, done or not."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT * FROM commands ORDER BY sequence DESC LIMIT %s", [limit])
            return known(cursor, command_of)

    def freeze(self, entry: Freeze) -> None:
        """The newest reason stands."""
        with self._database.transaction() as cursor:
            cursor.execute(_FREEZE, asdict(entry))

    def thaw(self, scope: str) -> bool:
        """Returns whether it was frozen."""
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM freezes WHERE scope = %s", [scope])
            if cursor.rowcount == 0:
                return False
            notify(cursor, "rollouts")
            return True

    def freezes(self) -> Sequence[Freeze]:
        """All that stand, by scope."""
        with self._database.transaction() as cursor:
            return [Freeze(**row) for row in cursor.execute(_FREEZES)]
