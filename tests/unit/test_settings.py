"""Settings come from the environment, then a file, then defaults; a fault is named."""

import os
from pathlib import Path

import pytest

from roost import settings
from roost.contracts.errors import SettingsInvalid


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("ROOST_"):
            monkeypatch.delenv(name)
    settings.load.cache_clear()
    yield
    settings.load.cache_clear()


def test_the_environment_stands_above_the_file_and_the_file_above_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kafka: {bootstrap: 'file:1', partitions: 3}\nstorage: {bucket: from-file}\n")
    monkeypatch.setenv("ROOST_SETTINGS_FILE", str(file))
    monkeypatch.setenv("ROOST_KAFKA__BOOTSTRAP", "env:2")
    loaded = settings.load()
    assert (loaded.kafka.bootstrap, loaded.kafka.partitions, loaded.storage.bucket) == ("env:2", 3, "from-file")
    sources = {row.variable: row.source for row in settings.described()}
    assert sources["ROOST_KAFKA__BOOTSTRAP"] == "environment"
    assert sources["ROOST_KAFKA__PARTITIONS"] == "file"
    assert sources["ROOST_STORAGE__PROJECT"] == "default"


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_DATABASE__URL", "postgresql://user:hunter2@db/roost")
    assert all("hunter2" not in row.value for row in settings.described())


@pytest.mark.parametrize(
    ("variable", "value"), [("ROOST_CONSOLE__PORT", "99999"), ("ROOST_LOG_LEVEL", "loud"), ("ROOST_KAFKA__TYPO", "1")]
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid, match=variable):
        settings.load()


def test_a_settings_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOST_SETTINGS_FILE", "/nowhere/settings.yaml")
    with pytest.raises(SettingsInvalid, match=r"/nowhere/settings\.yaml"):
        settings.load()
