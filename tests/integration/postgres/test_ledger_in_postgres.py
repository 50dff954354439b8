"""What only PostgreSQL can show: triggers, waking, lost connections, migrations, clocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.postgres import PostgresLedger, migrate, open_ledger, open_wakeups
from roost.contracts.errors import DatabaseUnavailable, SettingsInvalid
from roost.contracts.events import Command, CustomerSignedUp, DeployCommand
from roost.ports.clock import SystemClock
from roost.settings import DatabaseSettings
from tests.contract.test_ledger import a_change, a_rollout, an_event

pytestmark = pytest.mark.integration

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(database_settings: DatabaseSettings) -> Iterator[PostgresLedger]:
    opened = open_ledger(database_settings)
    yield opened
    opened.close()


@pytest.fixture
def connection(database_settings: DatabaseSettings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_settings.url.get_secret_value(), autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize(
    "statement",
    ["UPDATE transitions SET reason = 'better'", "DELETE FROM transitions", "TRUNCATE transitions CASCADE"],
)
def test_history_cannot_be_rewritten(ledger: PostgresLedger, connection: psycopg.Connection, statement: str) -> None:
    ledger.receive(a_rollout(), event_id="e", events=[])
    with pytest.raises(psycopg.errors.RestrictViolation, match="transitions is append-only"):
        connection.execute(statement)  # type: ignore[call-overload]  # a parameter is no literal
    assert ledger.history("r1")[0].reason == "training staged it"


def test_a_version_stays_used_up_though_its_rollout_was_removed(
    ledger: PostgresLedger, connection: psycopg.Connection
) -> None:
    ledger.receive(a_rollout(1), event_id="e1", events=[])
    assert ledger.allocate_version("r1") == 1
    with pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute("DELETE FROM version_allocations")
    ledger.receive(a_rollout(2), event_id="e2", events=[])
    assert ledger.allocate_version("r2") == 2


def channels_after(wakeups_settings: DatabaseSettings, act: object) -> frozenset[str]:
    wakeups = open_wakeups(wakeups_settings)
    try:
        assert wakeups.wait(0) == {"rollouts", "commands", "outbox", "onboarding"}
        assert wakeups.wait(0) == frozenset()
        act()  # type: ignore[operator]  # a lambda
        return wakeups.wait(60)
    finally:
        wakeups.close()


def test_each_change_wakes_who_waits_for_it(ledger: PostgresLedger, database_settings: DatabaseSettings) -> None:
    command = DeployCommand(command=Command.FREEZE, actor="ann", reason="x")
    acts = {
        "onboarding": lambda: ledger.sign_up("s", CustomerSignedUp(customer="acme"), at=T0, run_id="r"),
        "rollouts": lambda: ledger.receive(a_rollout(), event_id="e", events=[]),
        "commands": lambda: ledger.submit("c", command, at=T0),
        "outbox": lambda: ledger.add_events([an_event()]),
    }
    for channel, act in acts.items():
        assert channels_after(database_settings, act) == {channel}


def test_a_transition_wakes_relay_and_deployer_at_once(
    ledger: PostgresLedger, database_settings: DatabaseSettings
) -> None:
    from roost.contracts.rollout import Phase

    rollout = a_rollout()
    ledger.receive(rollout, event_id="e", events=[])
    change = a_change(rollout, Phase.STORED, events=(an_event(),))
    assert channels_after(database_settings, lambda: ledger.apply([change])) == {"rollouts", "outbox"}


def test_what_is_rolled_back_wakes_nobody(ledger: PostgresLedger, database_settings: DatabaseSettings) -> None:
    wakeups = open_wakeups(database_settings)
    wakeups.wait(0)
    ledger.receive(a_rollout(), event_id="e", events=[])
    wakeups.wait(60)
    ledger.receive(a_rollout(), event_id="e", events=[an_event()])
    assert wakeups.wait(0.2) == frozenset()
    wakeups.close()


def kill_all(url: str, database: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            [database],
        )


def test_after_lost_connections_the_next_call_works(
    ledger: PostgresLedger, database_settings: DatabaseSettings, postgres_url: str
) -> None:
    ledger.add_events([an_event("before")])
    wakeups = open_wakeups(database_settings)
    wakeups.wait(0)
    name = str(psycopg.conninfo.conninfo_to_dict(database_settings.url.get_secret_value())["dbname"])
    kill_all(postgres_url, name)
    ledger.add_events([an_event("after")])
    assert [row.event.id for row in ledger.unpublished(10)] == ["before", "after"]
    with pytest.raises(DatabaseUnavailable):
        wakeups.wait(60)
    # What was missed is unknown, so all channels are told.
    assert wakeups.wait(60) == {"rollouts", "commands", "outbox", "onboarding"}
    wakeups.close()


def test_a_connection_lost_in_the_middle_is_said_and_nothing_is_written(
    ledger: PostgresLedger, database_settings: DatabaseSettings, postgres_url: str
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(database_settings.url.get_secret_value())["dbname"])

    def work() -> None:
        with ledger._database.transaction() as cursor:
            cursor.execute("INSERT INTO inbox (kind, event_id) VALUES ('x', 'y')")
            kill_all(postgres_url, name)
            cursor.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        work()
    with ledger._database.transaction() as cursor:
        assert cursor.execute("SELECT count(*) AS n FROM inbox").fetchone() == {"n": 0}


def test_a_database_that_is_away_is_named_without_its_password(unused_port: int) -> None:
    url = f"postgresql://roost:geheim@127.0.0.1:{unused_port}/roost"
    ledger = open_ledger(DatabaseSettings(url=SecretStr(url)))
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=str(unused_port)) as caught:
        ledger.customers()
    assert time.monotonic() - started < 60
    assert "geheim" not in str(caught.value)
    ledger.close()


def test_an_address_that_is_none_is_a_settings_fault() -> None:
    with pytest.raises(SettingsInvalid, match="ROOST_DATABASE__URL"):
        open_ledger(DatabaseSettings(url=SecretStr("nonsense")))


def test_a_database_without_schema_says_what_to_run(postgres_url: str) -> None:
    ledger = open_ledger(DatabaseSettings(url=SecretStr(postgres_url)))
    with pytest.raises(DatabaseUnavailable, match="roost database migrate"):
        ledger.customers()
    ledger.close()


def test_migrating_makes_the_database_and_again_changes_nothing(postgres_url: str) -> None:
    settings = DatabaseSettings(url=SecretStr(make_conninfo(postgres_url, dbname="made_by_migrate")))
    with pytest.raises(DatabaseUnavailable):
        migrate.current(settings)
    assert migrate.migrate(settings) == migrate.head()
    assert migrate.migrate(settings) == migrate.current(settings) == migrate.head()


def test_two_migrations_at_once_both_succeed(postgres_url: str) -> None:
    settings = DatabaseSettings(url=SecretStr(make_conninfo(postgres_url, dbname="made_twice")))
    reached: list[str] = []
    threads = [threading.Thread(target=lambda: reached.append(migrate.migrate(settings))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert reached == [migrate.head()] * 3


def test_a_process_whose_clock_is_an_hour_ahead_steals_no_lease(database_settings: DatabaseSettings) -> None:
    """Leases follow the database's clock; the system clock of a skewed machine is never asked."""

    class Skewed(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(hours=1)

    right, wrong = open_ledger(database_settings, SystemClock()), open_ledger(database_settings, Skewed())
    assert right.acquire("promoter", owner="right", seconds=30)
    assert not wrong.acquire("promoter", owner="wrong", seconds=30)
    right.receive(a_rollout(), event_id="e", events=[])
    assert right.claim(frozenset({a_rollout().phase}), owner="right", limit=1, lease_seconds=30)
    assert not wrong.claim(frozenset({a_rollout().phase}), owner="wrong", limit=1, lease_seconds=30)
    right.close()
    wrong.close()


def test_a_slow_commit_never_shows_an_older_event_later(database_settings: DatabaseSettings) -> None:
    """Sequence numbers are given out before the commit: a relay that had passed one would lose its event."""
    from roost.adapters.postgres.outbox import append

    slow, quick = open_ledger(database_settings, ManualClock()), open_ledger(database_settings)
    second = threading.Thread(target=quick.add_events, args=([an_event("second")],))
    with slow._database.transaction() as cursor:
        append(cursor, [an_event("first")])
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert quick.recent_events(limit=10) == []
    second.join(120)
    assert [row.event.id for row in quick.recent_events(limit=10)] == ["first", "second"]
    slow.close()
    quick.close()
