"""Named leases, in PostgreSQL."""

from __future__ import annotations

from typing import Final

from roost.adapters.postgres.database import Database

_ACQUIRE: Final = """
WITH t AS (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now)
INSERT INTO leases (name, owner, until) SELECT %(name)s, %(owner)s, t.now + %(seconds)s * interval '1 second' FROM t
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE leases.owner = excluded.owner OR leases.until <= coalesce(%(now)s::timestamptz, clock_timestamp())
"""


class PostgresLeases:
    """Implements `Leases`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def acquire(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or extend the lease."""
        values = {"name": name, "owner": owner, "seconds": seconds, "now": self._database.stamp}
        with self._database.transaction() as cursor:
            cursor.execute(_ACQUIRE, values)
            return cursor.rowcount == 1

    def drop(self, name: str, *, owner: str) -> None:
        """Give it back, if it is ours."""
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM leases WHERE name = %s AND owner = %s", [name, owner])
