"""What the doctor says of settings that work and are not safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roost.doctor.findings import Level
from roost.doctor.safety import is_local, settings_are_safe
from roost.settings import Settings

HERE: dict[str, Any] = {"serving": {"directory_file": Path("nodes.json")}}
SECURE: dict[str, Any] = {
    "kafka": {
        "bootstrap": "kafka.example.com:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "replication": 3,
    },
    "database": {"url": "postgresql://roost:secret@db.example.com/roost?sslmode=verify-full"},
    "serving": {"control_token": "a" * 32},
    "gateway": {"jwks_url": "https://id.example.com/keys", "allow_cidrs": ("10.0.0.0/8",)},
    "console": {"host": "0.0.0.0", "jwks_file": Path("keys.json"), "url": "https://roost.example.com"},
    "airflow": {"url": "https://airflow.example.com"},
}


def found(changes: dict[str, Any], base: dict[str, Any]) -> list[tuple[Level, str]]:
    sections = {name: {**base.get(name, {}), **changes.get(name, {})} for name in {**base, **changes}}
    return [(one.level, one.said) for one in settings_are_safe(Settings(**sections))]


@pytest.mark.parametrize("base", [HERE, SECURE], ids=["one machine", "production"])
def test_one_machine_and_a_secured_installation_are_well(base: dict[str, Any]) -> None:
    assert [level for level, _ in found({}, base)] == [Level.WELL]


@pytest.mark.parametrize(
    ("changes", "level", "said"),
    [
        ({"kafka": {"security_protocol": "SASL_PLAINTEXT"}}, Level.WRONG, "not encrypted"),
        ({"kafka": {"security_protocol": "SSL"}}, Level.WRONG, "does not know who asks"),
        ({"kafka": {"replication": 1}}, Level.DOUBTFUL, "1 replicas"),
        ({"database": {"url": "postgresql://u:p@db.example.com/roost"}}, Level.WRONG, "sslmode=prefer"),
        ({"database": {"url": "postgresql://u:p@db.example.com/roost?sslmode=require"}}, Level.WRONG, "not verified"),
        ({"serving": {"control_token": None}}, Level.WRONG, "no token"),
        ({"serving": {"control_token": "short"}}, Level.WRONG, "easy to guess"),
        ({"gateway": {"jwks_url": None}}, Level.DOUBTFUL, "10.0.0.0/8 may ask for predictions"),
        ({"console": {"jwks_file": None}}, Level.WRONG, "refuse everybody"),
        ({"airflow": {"url": "http://airflow.example.com:8080"}}, Level.DOUBTFUL, "ROOST_AIRFLOW__URL"),
        ({"console": {"url": "http://roost.example.com"}}, Level.DOUBTFUL, "ROOST_CONSOLE__URL"),
        ({"storage": {"endpoint": "http://minio:9000"}}, Level.DOUBTFUL, "ROOST_STORAGE__ENDPOINT"),
        (
            {"tracing": {"exporter": "otlp", "endpoint": "http://otel:4318/v1/traces"}},
            Level.DOUBTFUL,
            "ROOST_TRACING__ENDPOINT",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_thing_that_others_could_use_is_named_alone(changes: dict[str, Any], level: Level, said: str) -> None:
    ((got, sentence),) = found(changes, SECURE)
    assert got is level
    assert said in sentence


@pytest.mark.parametrize(
    ("without", "changes"),
    [
        ("kafka", {"kafka": {"security_protocol": "PLAINTEXT", "replication": 1}}),
        ("database", {"database": {"url": "postgresql://u:p@db.example.com/roost"}}),
        ("pools", {"serving": {"control_token": None}}),
        ("airflow", {"airflow": {"url": "http://airflow.example.com:8080"}}),
        ("storage", {"storage": {"endpoint": "http://minio:9000"}}),
    ],
)
def test_settings_of_what_a_process_does_not_need_are_not_held_against_it(
    without: str, changes: dict[str, Any]
) -> None:
    sections = {name: {**SECURE.get(name, {}), **changes.get(name, {})} for name in {**SECURE, **changes}}
    settings = Settings(**sections)
    assert [one.level for one in settings_are_safe(settings, (without,))] == [Level.WELL]
    assert Level.WELL not in {one.level for one in settings_are_safe(settings, ("policy",))}


def test_no_finding_tells_a_secret() -> None:
    text = str(found({"database": {"url": "postgresql://u:hunter2@db.example.com/roost"}}, SECURE))
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("", True),
        ("/run/pg", True),
        ("10.0.0.1", False),
        ("db", False),
    ],
)
def test_only_this_machine_reaches_loopback_and_sockets(host: str, *, local: bool) -> None:
    assert is_local(host) is local
