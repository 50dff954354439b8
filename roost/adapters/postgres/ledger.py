"""The whole ledger in PostgreSQL."""

from __future__ import annotations

from roost.adapters.postgres.commands import PostgresCommands
from roost.adapters.postgres.database import Database
from roost.adapters.postgres.generations import PostgresGenerations
from roost.adapters.postgres.housekeeping import PostgresHousekeeping
from roost.adapters.postgres.leases import PostgresLeases
from roost.adapters.postgres.onboarding import PostgresOnboarding
from roost.adapters.postgres.outbox import PostgresOutbox
from roost.adapters.postgres.quarantine import PostgresQuarantine
from roost.adapters.postgres.rebuilding import PostgresRebuilding
from roost.adapters.postgres.rollouts import PostgresRollouts


class PostgresLedger(
    PostgresOnboarding,
    PostgresRollouts,
    PostgresQuarantine,
    PostgresCommands,
    PostgresOutbox,
    PostgresHousekeeping,
    PostgresLeases,
    PostgresGenerations,
    PostgresRebuilding,
):
    """Implements every protocol of `roost.ports.ledger` over one pool. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Every part shares `database`."""
        super().__init__(database)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()
