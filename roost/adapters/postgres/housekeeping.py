"""Taking away what is done with, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from roost.adapters.postgres.database import Database
from roost.ports.ledger import Settled

# A batch each, so that none of them holds locks for long.
_PRUNE: Final[Mapping[Settled, str]] = {
    Settled.INBOX: """
        DELETE FROM inbox WHERE (kind, event_id) IN (
            SELECT kind, event_id FROM inbox WHERE received_at < %(before)s ORDER BY received_at LIMIT %(limit)s)
        """,
    Settled.OUTBOX: """
        DELETE FROM outbox WHERE sequence IN (
            SELECT sequence FROM outbox WHERE published_at IS NOT NULL AND happened_at < %(before)s
            ORDER BY happened_at LIMIT %(limit)s)
        """,
    Settled.COMMANDS: """
        DELETE FROM commands WHERE event_id IN (
            SELECT event_id FROM commands WHERE done_at < %(before)s ORDER BY done_at LIMIT %(limit)s)
        """,
}


class PostgresHousekeeping:
    """Implements `Housekeeping`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def prune(self, what: Settled, *, before: datetime, limit: int) -> int:
        """Delete what was done with before that instant."""
        with self._database.transaction() as cursor:
            cursor.execute(_PRUNE[what], {"before": before, "limit": limit})
            return cursor.rowcount
