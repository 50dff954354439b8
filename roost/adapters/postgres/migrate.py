"""Brings the schema up to date, from the migrations inside this package; no file of Alembic's is needed on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.pool import NullPool

from roost.adapters.postgres.database import translated, where
from roost.contracts.errors import DatabaseUnavailable
from roost.settings import DatabaseSettings

#: Advisory lock: of two migrations at once the second waits, and finds nothing to do.
_ONE_AT_A_TIME: Final = 0x726F6F74
#: Alembic keeps its context in module globals: two threads of one process would take each other's.
_ALEMBIC_IS_GLOBAL: Final = threading.Lock()


def migrate(settings: DatabaseSettings) -> str:
    """Create or upgrade the schema; the database too where it does not exist. Returns the revision reached.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or refuses.
    """
    with _ALEMBIC_IS_GLOBAL:
        _create_database(settings)
        _upgrade(settings)
    return head()


def _upgrade(settings: DatabaseSettings) -> None:
    with _connection(settings) as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _ONE_AT_A_TIME})
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(settings: DatabaseSettings) -> str | None:
    """Revision that the database is at; None where it has no schema yet. Raises `DatabaseUnavailable`."""
    with _connection(settings) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def server_version(settings: DatabaseSettings) -> str:
    """What PostgreSQL says of itself, such as ``18.4``. Raises `DatabaseUnavailable`."""
    with _connection(settings) as connection:
        return str(connection.execute(sqlalchemy.text("SHOW server_version")).scalar_one())


def head() -> str:
    """Newest revision that this version of Roost knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise LookupError("the package holds no migrations")
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@contextmanager
def _connection(settings: DatabaseSettings) -> Iterator[sqlalchemy.Connection]:
    url = settings.url.get_secret_value()
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, connect_timeout=5), poolclass=NullPool
    )
    place = where(settings)
    try:
        with engine.connect() as connection:
            yield connection
    except psycopg.Error as error:
        raise translated(error, place) from error
    except sqlalchemy.exc.DBAPIError as error:
        original = error.orig
        raise (translated(original, place) if isinstance(original, psycopg.Error) else error) from error


def _create_database(settings: DatabaseSettings) -> None:
    url, place = settings.url.get_secret_value(), where(settings)
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        # libpq gives no SQLSTATE for a failed connection: the server's own words are all there is.
        name = str(conninfo_to_dict(url).get("dbname") or "")
        if not name or f'database "{name}" does not exist' not in str(error):
            raise translated(error, place) from error
        _create(url, name, place)


def _create(url: str, name: str, place: str) -> None:
    try:
        with psycopg.connect(make_conninfo(url, dbname="postgres"), connect_timeout=5, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except (errors.DuplicateDatabase, errors.UniqueViolation):
        # Somebody else made it meanwhile.
        return
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"PostgreSQL at {place} has no such database, and it cannot be made: {error}"
        ) from error
