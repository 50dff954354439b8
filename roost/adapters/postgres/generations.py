"""The newest generation of each pool, in PostgreSQL."""

from __future__ import annotations

from typing import Final

from roost.adapters.postgres.database import Database

RESERVE: Final = """
INSERT INTO pool_generations (pool, generation) VALUES (%s, %s)
ON CONFLICT (pool) DO UPDATE SET generation = excluded.generation, at = now()
WHERE pool_generations.generation < excluded.generation
"""


class PostgresGenerations:
    """Implements `Generations`."""

    def __init__(self, database: Database) -> None:
        """Share the pool with the other parts."""
        self._database = database

    def newest_generation(self, pool: str) -> int | None:
        """What was reserved last."""
        with self._database.transaction() as cursor:
            row = cursor.execute("SELECT generation FROM pool_generations WHERE pool = %s", [pool]).fetchone()
            return None if row is None else int(row["generation"])

    def reserve_generation(self, pool: str, generation: int) -> None:
        """Note it; it never falls."""
        with self._database.transaction() as cursor:
            cursor.execute(RESERVE, [pool, generation])
