"""PostgreSQL: the ledger, one protocol a file, explicit SQL. Nothing connects before it is used."""

from __future__ import annotations

from roost.adapters.postgres.database import Database
from roost.adapters.postgres.ledger import PostgresLedger
from roost.adapters.postgres.wakeups import PostgresWakeups
from roost.ports.clock import Clock, SystemClock
from roost.settings import DatabaseSettings

__all__ = ["PostgresLedger", "open_ledger", "open_wakeups"]


def open_ledger(settings: DatabaseSettings, clock: Clock | None = None) -> PostgresLedger:
    """The ledger. With the system clock, or none, leases follow the database's own clock.

    Raises:
        SettingsInvalid: the database URL cannot be read.
    """
    return PostgresLedger(Database(settings, clock or SystemClock()))


def open_wakeups(settings: DatabaseSettings) -> PostgresWakeups:
    """Waits for work, on a connection of its own."""
    return PostgresWakeups(settings)
