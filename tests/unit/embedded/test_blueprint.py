from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from roost import policy_file, settings
from roost.adapters.node_directory import DirectoryFile
from roost.contracts.errors import SettingsInvalid
from roost.embedded import addresses, catalogue, local_policy, ports
from roost.embedded.blueprint import Blueprint
from roost.embedded.stack import Run, Stack
from roost.embedded.state_dir import StateDir


@pytest.fixture
def blueprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blueprint:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    return _blueprint(tmp_path)


def _blueprint(tmp_path: Path) -> Blueprint:
    settings.load.cache_clear()
    given = frozenset(row.variable for row in settings.described() if row.source != "default")
    state = StateDir.at(tmp_path / "state dir")
    return Blueprint(state=state, addresses=addresses.choose(None, {}), outside=settings.load(), given=given)


def _read_back(blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    blueprint.state.prepare()
    blueprint.state.settings.write_text(yaml.safe_dump(blueprint.settings_document()))
    monkeypatch.setenv("ROOST_SETTINGS_FILE", str(blueprint.state.settings))
    settings.load.cache_clear()
    return settings.load()


def test_the_settings_file_is_read_back_as_settings_of_the_stack(
    blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _read_back(blueprint, monkeypatch)
    assert read.kafka.bootstrap == blueprint.addresses.at("broker")
    assert read.kafka.batch_bytes == 0
    assert read.storage.endpoint == blueprint.addresses.url("object-store")
    assert read.console.port == blueprint.addresses.ports["console"]
    assert read.state_dir == blueprint.state.root
    token = read.serving.control_token
    assert token is not None
    assert token.get_secret_value() == blueprint.addresses.secrets.control_token


def test_apache_kafka_is_sent_batches(blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the embedded broker's batches, any lag counts the first event only."""
    read = _read_back(dataclasses.replace(blueprint, bus="apache"), monkeypatch)
    assert read.kafka.batch_bytes == 16_384


def test_every_part_waits_only_for_parts_that_there_are(blueprint: Blueprint) -> None:
    parts = catalogue.parts(blueprint)
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)
    for part in parts:
        assert set(part.after) <= set(names[: names.index(part.name)]), f"{part.name} would wait for a later part"


def test_every_port_of_a_part_is_one_that_can_be_fixed(blueprint: Blueprint) -> None:
    for part in catalogue.parts(blueprint):
        assert set(part.ports) <= set(addresses.PORTS)


def test_a_given_broker_is_shown_and_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setenv("ROOST_KAFKA__BOOTSTRAP", "kafka.example:9092")
    monkeypatch.setenv("ROOST_KAFKA__SASL_PASSWORD", "geheim")
    blueprint = _blueprint(tmp_path)
    names = {part.name for part in catalogue.parts(blueprint)}
    assert "broker" not in names
    assert "topics" in names
    assert [(one.name, one.address) for one in catalogue.externals(blueprint)] == [("broker", "kafka.example:9092")]
    for name in ("ROOST_KAFKA__BOOTSTRAP", "ROOST_KAFKA__SASL_PASSWORD"):
        monkeypatch.delenv(name)
    read = _read_back(blueprint, monkeypatch)
    assert read.kafka.bootstrap == "kafka.example:9092"
    assert read.kafka.sasl_password is not None
    assert read.kafka.sasl_password.get_secret_value() == "geheim"
    assert (read.kafka.session_timeout_ms, read.kafka.batch_bytes) == (45_000, 16_384)


def test_without_our_database_postgres_still_serves_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setenv("ROOST_DATABASE__URL", "postgresql://db.example/roost")
    assert "postgres" in {part.name for part in catalogue.parts(_blueprint(tmp_path))}
    monkeypatch.setenv("ROOST_AIRFLOW__URL", "https://airflow.example")
    blueprint = _blueprint(tmp_path)
    names = {part.name for part in catalogue.parts(blueprint)}
    assert not names & {"postgres", "airflow-db", "airflow-api", "airflow-scheduler", "airflow-dags"}
    assert {one.name for one in catalogue.externals(blueprint)} == {"database", "airflow"}


def test_google_cloud_storage_is_external_by_its_bucket_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    monkeypatch.setenv("ROOST_STORAGE__BUCKET", "models-of-acme")
    blueprint = _blueprint(tmp_path)
    assert "object-store" not in {part.name for part in catalogue.parts(blueprint)}
    assert blueprint.settings_document()["storage"] == {"bucket": "models-of-acme"}


def test_the_directory_of_nodes_is_what_the_deployer_reads(blueprint: Blueprint) -> None:
    blueprint.state.prepare()
    blueprint.state.nodes.write_text(json.dumps(blueprint.node_list()))
    directory = DirectoryFile(blueprint.state.nodes)
    assert [node.node for node in directory.nodes("default")] == ["node-1", "node-2", "node-3"]
    assert [node.node for node in directory.nodes("canary")] == ["canary-1"]


def test_the_policy_of_a_new_stack_is_valid_and_never_written_over(blueprint: Blueprint) -> None:
    blueprint.state.prepare()
    local_policy.write_once(blueprint.state)
    assert policy_file.read(blueprint.state.policy).rules.bake_seconds == 60
    blueprint.state.policy.write_text("version: 1\n")
    local_policy.write_once(blueprint.state)
    assert blueprint.state.policy.read_text() == "version: 1\n"


def test_asking_for_some_parts_brings_what_they_need(blueprint: Blueprint) -> None:
    stack = Stack(blueprint, Run(only=("airflow-api",)))
    assert [part.name for part in stack.parts] == ["postgres", "airflow-db", "airflow-api"]


def test_asking_for_an_unknown_part_names_those_that_there_are(blueprint: Blueprint) -> None:
    with pytest.raises(SettingsInvalid, match="no part is called kafka; there are postgres, broker"):
        Stack(blueprint, Run(only=("kafka",)))
