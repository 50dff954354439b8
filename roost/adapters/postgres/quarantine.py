"""Quarantined digests, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from roost.adapters.postgres.database import Database
from roost.ports.ledger import Quarantine

# Column by column: a newer schema may have more.
_SELECT: Final = "SELECT digest, customer, model, reason, actor, at FROM quarantines"
_INSERT: Final = """
INSERT INTO quarantines (digest, customer, model, reason, actor, at)
VALUES (%(digest)s, %(customer)s, %(model)s, %(reason)s, %(actor)s, %(at)s)
ON CONFLICT (digest) DO NOTHING
"""


class PostgresQuarantine:
    """Implements the quarantine of `RolloutLedger`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def quarantine(self, entry: Quarantine) -> None:
        """Refuse that digest from now on."""
        with self._database.transaction() as cursor:
            cursor.execute(_INSERT, asdict(entry))

    def quarantined(self, digest: str) -> Quarantine | None:
        """The entry, if the digest is refused."""
        with self._database.transaction() as cursor:
            row = cursor.execute(f"{_SELECT} WHERE digest = %s", [digest]).fetchone()
            return None if row is None else Quarantine(**row)

    def release(self, digest: str) -> bool:
        """Take the digest out of quarantine."""
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM quarantines WHERE digest = %s", [digest])
            return cursor.rowcount > 0

    def quarantines(self) -> Sequence[Quarantine]:
        """All entries, newest first."""
        with self._database.transaction() as cursor:
            cursor.execute(f"{_SELECT} ORDER BY at DESC, digest DESC")
            return [Quarantine(**row) for row in cursor]
