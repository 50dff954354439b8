"""LISTEN: waiting for work without polling."""

from __future__ import annotations

from typing import Final

import psycopg

from roost.adapters.postgres.database import translated, where
from roost.settings import DatabaseSettings

CHANNELS: Final = frozenset({"rollouts", "commands", "outbox", "onboarding"})


class PostgresWakeups:
    """Implements `Wakeups` on a connection of its own, made at the first wait and made again when lost.

    The first wait after a connection was made answers with every channel at once: what happened before it is unknown.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._where = where(settings)
        self._connection: psycopg.Connection | None = None

    def wait(self, seconds: float) -> frozenset[str]:
        """Channels that were notified, waiting at most that long."""
        try:
            if self._connection is None:
                self._connection = self._connect()
                return CHANNELS
            first = [note.channel for note in self._connection.notifies(timeout=seconds, stop_after=1)]
            more = [note.channel for note in self._connection.notifies(timeout=0)] if first else []
            return frozenset(first + more)
        except psycopg.Error as error:
            self.close()
            raise translated(error, self._where) from error

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection:
        # Without keepalives a silently dropped connection would look like a quiet night.
        connection = psycopg.connect(
            self._settings.url.get_secret_value(),
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        for channel in sorted(CHANNELS):
            connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
        return connection
