"""Old and new code side by side for one release: schemas that only grow, and code that leaves alone what it does not know."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.postgres import PostgresLedger, migrate, open_ledger
from roost.adapters.postgres.newer import NewerRow
from roost.cli.database import fits
from roost.contracts.errors import DatabaseUnavailable
from roost.contracts.events import Command, CustomerSignedUp, DeployCommand
from roost.contracts.rollout import Phase
from roost.ports.ledger import Freeze, OnboardingStage, Quarantine, RolloutQuery
from roost.settings import DatabaseSettings
from tests.contract.test_ledger import a_change, a_rollout, an_event

pytestmark = pytest.mark.integration

T0 = datetime(2026, 1, 1, tzinfo=UTC)
#: The schema of the first release. Later migrations must leave its code running.
RELEASED = "0004"

Column = tuple[str, str]


@pytest.fixture
def empty(postgres_url: str) -> Iterator[DatabaseSettings]:
    """A database without any schema."""
    name = f"roost_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield DatabaseSettings(url=SecretStr(make_conninfo(postgres_url, dbname=name)))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def ledger(database_settings: DatabaseSettings) -> Iterator[PostgresLedger]:
    opened = open_ledger(database_settings, ManualClock(T0))
    yield opened
    opened.close()


@pytest.fixture
def connection(database_settings: DatabaseSettings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_settings.url.get_secret_value(), autocommit=True) as opened:
        yield opened


def upgrade(settings: DatabaseSettings, revision: str) -> None:
    with migrate._connection(settings) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def columns(connection: psycopg.Connection) -> dict[Column, tuple[str, bool]]:
    """(table, column) to its type, and whether a row may be written that does not name it."""
    found = connection.execute(
        """
        SELECT table_name, column_name, data_type,
            is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES'
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        """
    )
    return {(table, column): (kind, optional) for table, column, kind, optional in found}


def checks(connection: psycopg.Connection) -> set[str]:
    found = connection.execute(
        "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('u','f','c','x')"
    )
    return {text for (text,) in found}


def test_every_migration_since_the_release_only_expands(empty: DatabaseSettings) -> None:
    """What the release's code reads and writes stays: contracting is a migration of the release after the next."""
    steps = [one.revision for one in ScriptDirectory.from_config(migrate._config()).walk_revisions()][::-1]
    upgrade(empty, RELEASED)
    with psycopg.connect(empty.url.get_secret_value(), autocommit=True) as connection:
        before, bound = columns(connection), checks(connection)
        for revision in steps[steps.index(RELEASED) + 1 :]:
            upgrade(empty, revision)
            after = columns(connection)
            assert {key: after.get(key) for key in before} == before, revision
            tables = {table for table, _ in before}
            added = {key: value for key, value in after.items() if key not in before and key[0] in tables}
            assert all(optional for _, optional in added.values()), (revision, added)
            narrower = {one for one in checks(connection) - bound if one.split(" ")[0] in tables}
            assert not narrower, (revision, narrower)
            before, bound = after, checks(connection)


@pytest.mark.parametrize("revision", [RELEASED, None])
def test_this_code_on_an_older_schema_waits_and_says_what_to_run(empty: DatabaseSettings, revision: str | None) -> None:
    if revision is not None:
        upgrade(empty, revision)
    ledger = open_ledger(empty)
    try:
        with pytest.raises(DatabaseUnavailable, match="roost database migrate"):
            ledger.receive(a_rollout(), event_id="e", events=[])
    finally:
        ledger.close()
    assert not fits(migrate.current(empty), migrate.head(), at_least=True)


def test_this_code_on_a_newer_schema_goes_on(ledger: PostgresLedger, connection: psycopg.Connection) -> None:
    """Every table has a column more, as after the next release's migrations."""
    for table in sorted({table for table, _ in columns(connection)}):
        grow = sql.SQL("ALTER TABLE {} ADD COLUMN of_the_next_release text DEFAULT 'x'")
        connection.execute(grow.format(sql.Identifier(table)))
    ledger.sign_up("s1", CustomerSignedUp(customer="acme"), at=T0, run_id="run-1")
    ledger.receive(a_rollout(), event_id="e1", events=[an_event()])
    assert ledger.allocate_version("r1") == 1
    ledger.apply([a_change(ledger.rollout("r1"), Phase.STORED, 2)])
    assert [line.after for line in ledger.history("r1")] == [Phase.RECEIVED, Phase.STORED]
    entry = Quarantine(digest="d", customer="acme", model="default", reason="x", actor="ann", at=T0)
    ledger.quarantine(entry)
    ledger.freeze(Freeze(scope="fleet", reason="x", actor="ann", at=T0))
    ledger.submit("c1", DeployCommand(command=Command.FREEZE, actor="ann", reason="x"), at=T0)
    assert (ledger.quarantined("d"), len(ledger.freezes()), len(ledger.open_commands(9))) == (entry, 1, 1)
    assert [row.event.id for row in ledger.unpublished(9)] == ["e1"]
    assert ledger.oldest_unanswered() == T0
    assert len(ledger.due_onboardings(now=T0, limit=9, lease_seconds=1)) == 1
    assert ledger.acquire("x", owner="me", seconds=1)
    assert ledger.rows()["rollouts"] == 1


def test_a_phase_that_this_release_does_not_know_is_left_alone_and_told_once(
    ledger: PostgresLedger, connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        ledger.receive(a_rollout(number), event_id=f"e{number}", events=[])
    connection.execute("UPDATE rollouts SET phase = 'SHADOWING' WHERE id = 'r1'")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [row.id for row in ledger.rollouts(RolloutQuery())] == ["r2"]
    assert [record.message for record in caplog.records] == [
        "rollout r1 is of a newer Roost (phase: 'SHADOWING') and is left alone: finish the upgrade"
    ]
    assert [row.id for row in ledger.claim(frozenset(Phase), owner="w", limit=9, lease_seconds=9)] == ["r2"]
    with pytest.raises(NewerRow, match="SHADOWING"):
        ledger.rollout("r1")
    [(phase,)] = connection.execute("SELECT phase FROM rollouts WHERE id = 'r1'")
    assert phase == "SHADOWING"


def test_a_stage_that_this_release_does_not_know_is_not_overwritten(
    ledger: PostgresLedger, connection: psycopg.Connection
) -> None:
    ledger.sign_up("s1", CustomerSignedUp(customer="acme"), at=T0, run_id="run-1")
    connection.execute("ALTER TABLE onboardings DROP CONSTRAINT onboardings_stage_check")
    connection.execute("UPDATE onboardings SET stage = 'invited'")
    assert ledger.customers() == []
    assert ledger.due_onboardings(now=T0, limit=9, lease_seconds=1) == []
    with pytest.raises(NewerRow, match="customer acme is of a newer Roost"):
        ledger.sign_up("s2", CustomerSignedUp(customer="acme", model="other"), at=T0, run_id="run-2")
    with pytest.raises(NewerRow):
        ledger.offboard("o1", "acme", "left", at=T0)
    connection.execute("UPDATE onboardings SET stage = 'trained'")
    assert ledger.offboard("o1", "acme", "left", at=T0)
    assert [row.stage for row in ledger.customers()] == [OnboardingStage.LEAVING]


def test_commands_and_events_of_a_newer_release_wait_for_its_processes(
    ledger: PostgresLedger, connection: psycopg.Connection
) -> None:
    for name in ("c1", "c2"):
        ledger.submit(name, DeployCommand(command=Command.FREEZE, actor="ann", reason="x"), at=T0)
    connection.execute("""UPDATE commands SET command = command || '{"command": "shadow"}' WHERE event_id = 'c1'""")
    assert [row.event_id for row in ledger.open_commands(9)] == ["c2"]
    ledger.add_events([an_event("e1"), an_event("e2")])
    connection.execute("UPDATE outbox SET type = 'roost.rollout.shadowing.v1' WHERE event_id = 'e1'")
    with pytest.raises(NewerRow):
        ledger.unpublished(9)
    assert [row.event.id for row in ledger.recent_events(limit=9)] == ["e2"]
