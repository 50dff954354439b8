"""Connections to PostgreSQL: one pool a process, one transaction a method, errors translated at this boundary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from roost.contracts.errors import Conflict, DatabaseUnavailable, Permanent, RoostError, SettingsInvalid
from roost.ports.clock import Clock, SystemClock
from roost.settings import DatabaseSettings

Cursor = psycopg.Cursor[DictRow]

#: How long a method waits for a connection before it says that the database is away. Seconds.
WAIT_SECONDS: Final = 5.0
#: No statement of ours is slow; one that hangs on a lock is given up and tried again by its caller.
_OPTIONS: Final = (
    "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
)
_NOT_MIGRATED: Final = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)


class Database:
    """A pool that connects when first used and reconnects by itself. Safe to share between threads."""

    def __init__(self, settings: DatabaseSettings, clock: Clock) -> None:
        """Nothing is connected yet. `clock` matters to leases only; see `stamp`."""
        self._where = where(settings)
        self._clock = clock
        self._url = settings.url.get_secret_value()
        self._pool: ConnectionPool[psycopg.Connection[DictRow]] = ConnectionPool(
            self._url,
            connection_class=psycopg.Connection[DictRow],
            kwargs={"row_factory": dict_row, "connect_timeout": 5, "options": _OPTIONS},
            min_size=1,
            max_size=settings.pool_size,
            timeout=WAIT_SECONDS,
            reconnect_timeout=10,
            check=ConnectionPool.check_connection,
            name="roost",
            open=False,
        )

    @property
    def stamp(self) -> datetime | None:
        """The instant by which leases are judged: None, where the database's own clock decides.

        Machines whose clocks differ must agree on when a lease ends, so the system clock is never used for it; a
        clock that tests move is.
        """
        return None if isinstance(self._clock, SystemClock) else self._clock.now()

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """One transaction: committed at the end of the block, rolled back by any exception.

        Raises:
            DatabaseUnavailable: the database is away, or has no schema yet.
            Conflict: a unique constraint is broken.
            Permanent: a value that PostgreSQL cannot hold, such as text with a NUL character.
        """
        try:
            self._pool.open(wait=False)
            with self._pool.connection() as connection, connection.cursor() as cursor:
                yield cursor
        except PoolTimeout as error:
            raise translated(self._cause() or error, self._where) from error
        except psycopg.Error as error:
            raise translated(error, self._where) from error

    def _cause(self) -> psycopg.Error | None:
        """Why there is no connection. The pool says only that there is none, not that a password is wrong."""
        try:
            psycopg.connect(self._url, connect_timeout=2).close()
        except psycopg.Error as error:
            return error
        return None

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()


def where(settings: DatabaseSettings) -> str:
    """Host, port and database of the URL, without user and password, for people.

    Raises:
        SettingsInvalid: the URL cannot be read.
    """
    try:
        parts = conninfo_to_dict(settings.url.get_secret_value())
    except psycopg.ProgrammingError as error:
        raise SettingsInvalid(f"setting ROOST_DATABASE__URL is not a PostgreSQL address: {error}") from error
    host, port = parts.get("host") or "localhost", parts.get("port") or 5432
    return f"{host}:{port}/{parts.get('dbname') or 'postgres'}"


def translated(error: psycopg.Error, place: str) -> Exception:
    """What the error means to Roost; the error itself where it is a bug of ours."""
    text = " ".join(str(error).split())
    result: RoostError
    if isinstance(error, _NOT_MIGRATED):
        result = DatabaseUnavailable(
            f"PostgreSQL at {place} has no schema of this Roost yet ({text.partition(' LINE ')[0]}): run `roost "
            "database migrate`, and look with `roost database revision`"
        )
    elif isinstance(error, errors.UniqueViolation):
        result = Conflict(f"PostgreSQL: {text}")
    # A key longer than an index holds counts as operational in psycopg; trying again would never help.
    elif isinstance(error, psycopg.DataError | errors.ProgramLimitExceeded):
        result = Permanent(f"PostgreSQL cannot hold a value: {text}")
    elif isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction):
        result = DatabaseUnavailable(f"PostgreSQL at {place} does not answer ({text}); see ROOST_DATABASE__URL")
    else:
        return error
    return result
