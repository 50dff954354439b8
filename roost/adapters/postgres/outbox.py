"""The outbox, the inbox and the notifications, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from roost.adapters.postgres.database import Cursor, Database
from roost.adapters.postgres.newer import known
from roost.adapters.postgres.rows import INSERT_EVENT, event_values, outbox_of
from roost.contracts.cloudevents import Event
from roost.ports.ledger import OutboxRow

#: Key of the advisory lock that makes the order of sequence numbers the order of commits.
_ORDER_OF_COMMIT: Final = 0x726F6F73


_NOTE: Final = """
INSERT INTO inbox (kind, event_id, received_at) VALUES (%s, %s, coalesce(%s::timestamptz, now())) ON CONFLICT DO NOTHING
"""


def first_time(cursor: Cursor, kind: str, event_id: str, now: datetime | None) -> bool:
    """Note the event in the inbox. Returns whether it was not known. A concurrent twin is waited for.

    `now`: see `Database.stamp`.
    """
    cursor.execute(_NOTE, [kind, event_id, now])
    return cursor.rowcount == 1


def notify(cursor: Cursor, channel: str) -> None:
    """Wake who listens on `channel`, once the transaction is committed."""
    cursor.execute("SELECT pg_notify(%s, '')", [channel])


def append(cursor: Cursor, events: Sequence[Event]) -> None:
    """Add events to the outbox. Must be the last thing a transaction does: it serialises committers.

    A sequence number alone is taken before the commit, so a slow transaction would show an older number later, and a
    relay that had passed it would never see it. The lock is held until the commit.
    """
    if events:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ORDER_OF_COMMIT])
        cursor.executemany(INSERT_EVENT, [event_values(event) for event in events])
        notify(cursor, "outbox")


class PostgresOutbox:
    """Implements `Outbox`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def add_events(self, events: Sequence[Event]) -> None:
        """Add events that belong to no rollout."""
        with self._database.transaction() as cursor:
            append(cursor, events)

    def unpublished(self, limit: int) -> Sequence[OutboxRow]:
        """Oldest first, in order of commit. An event of a newer release holds up all behind it: its relay works."""
        query = "SELECT * FROM outbox WHERE published_at IS NULL ORDER BY sequence LIMIT %s"
        with self._database.transaction() as cursor:
            return [outbox_of(row) for row in cursor.execute(query, [limit])]

    def pending_events(self) -> int:
        """How many are not in Kafka yet."""
        with self._database.transaction() as cursor:
            row = cursor.execute("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL").fetchone()
            return int(row["n"]) if row else 0

    def mark_published(self, sequences: Sequence[int]) -> None:
        """They are in Kafka."""
        query = "UPDATE outbox SET published_at = now() WHERE sequence = ANY(%s) AND published_at IS NULL"
        with self._database.transaction() as cursor:
            cursor.execute(query, [list(sequences)])

    def recent_events(self, *, limit: int, after: int = 0) -> Sequence[OutboxRow]:
        """The newest above `after`, oldest first."""
        query = "SELECT * FROM outbox WHERE sequence > %s ORDER BY sequence DESC LIMIT %s"
        with self._database.transaction() as cursor:
            rows = known(cursor.execute(query, [after, limit]), outbox_of)
        return rows[::-1]
