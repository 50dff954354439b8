"""`roost doctor` against the real broker, object store and PostgreSQL: as they should be, and each away or wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roost.adapters.kafka import open_admin
from roost.adapters.kafka.described import described
from roost.doctor.findings import Finding, Level
from roost.doctor.wiring import checks, examine
from roost.ports.event_bus import topics
from roost.settings import DatabaseSettings, KafkaSettings, ServingSettings, Settings
from tests.parts import free_port, gcs_server

pytestmark = pytest.mark.integration


def of(found: list[Finding], about: str) -> list[Finding]:
    return [one for one in found if one.about == about]


def test_parts_that_are_there_are_well_and_what_is_missing_is_named_with_its_remedy(
    fresh_broker: KafkaSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    nodes = tmp_path / "nodes.json"
    nodes.write_text('{"nodes": []}')
    with gcs_server(tmp_path) as storage:
        settings = Settings(
            kafka=fresh_broker,
            database=database_settings,
            storage=storage,
            serving=ServingSettings(directory_file=nodes),
        )
        found = list(examine(checks(settings, probe=True)))
        assert {one.level for one in of(found, "database")} == {Level.WELL}
        assert {one.level for one in of(found, "storage")} == {Level.WELL}
        assert {one.level for one in of(found, "clock")} == {Level.WELL}
        assert of(found, "settings")[0].level is Level.WELL
        # Airflow is not there, no topic is made, and the pools have no nodes.
        assert [one.level for one in of(found, "airflow")] == [Level.WRONG]
        assert {one.remedy for one in of(found, "kafka")} == {"", "run `roost topics ensure`"}
        assert [one.said for one in of(found, "pool default")] == ["it has no node"]

        wanted = topics(partitions=settings.kafka.partitions, replication=settings.kafka.replication)
        open_admin(fresh_broker).ensure(wanted)
        assert described(fresh_broker, [spec.name for spec in wanted]).keys() == {spec.name.value for spec in wanted}
        found = list(examine(checks(settings, probe=False)))
        assert {one.level for one in of(found, "kafka")} == {Level.WELL}, of(found, "kafka")


def test_the_command_says_all_in_json_and_ends_with_one(tmp_path: Path) -> None:
    """Nothing is there: each check is a finding of its own, none hides another, and all of it takes seconds."""
    away = f"127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")} | {
        "ROOST_STATE_DIR": str(tmp_path),
        "ROOST_KAFKA__BOOTSTRAP": away,
        "ROOST_DATABASE__URL": f"postgresql://roost:hunter2@{away}/roost",
        "ROOST_STORAGE__ENDPOINT": f"http://{away}",
        "ROOST_AIRFLOW__URL": f"http://{away}",
        "ROOST_SERVING__DIRECTORY_FILE": str(tmp_path / "nodes.json"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "roost", "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    found = {one["about"]: one for one in json.loads(done.stdout)}
    ill = {about for about, one in found.items() if one["level"] == "wrong"}
    assert ill == {"database", "kafka", "storage", "clock", "airflow", "pool default", "pool canary"}
    assert all(found[about]["remedy"] and found[about]["said"] for about in ill)
    assert away in found["kafka"]["said"]
    assert "hunter2" not in done.stdout
