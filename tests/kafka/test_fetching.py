"""What is said where Apache Kafka cannot be had. Java and Maven are small scripts here."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.contracts.errors import SettingsInvalid
from roost.embedded.apache_kafka.program import provided

pytestmark = pytest.mark.kafka


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_without_java_the_remedy_is_named(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="needs Java 17 or newer on PATH"):
        provided(tmp_path / "cache", print)


def test_an_old_java_is_named_with_its_version(programs: Path, tmp_path: Path) -> None:
    script(programs, "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    with pytest.raises(SettingsInvalid, match=r"is Java 11; Apache Kafka 4\.1\.1 needs 17"):
        provided(tmp_path / "cache", print)


def test_without_maven_an_empty_cache_is_named(programs: Path, tmp_path: Path) -> None:
    script(programs, "java", "echo 'openjdk version \"17.0.15\"' >&2")
    with pytest.raises(SettingsInvalid, match=r"cache yet, and Maven \(mvn\).*ROOST_STACK__CACHE_DIR"):
        provided(tmp_path / "cache", print)


def test_what_maven_says_of_its_failure_is_quoted(programs: Path, tmp_path: Path) -> None:
    script(programs, "java", "echo 'openjdk version \"21\"' >&2")
    script(programs, "mvn", "echo '[ERROR] Could not resolve host'; exit 1")
    with pytest.raises(SettingsInvalid, match=r"exit code 1(.|\n)*Could not resolve host"):
        provided(tmp_path / "cache", print)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("brought", "says"),
    [
        ("kafka.jar", r"missing \['HdrHistogram-2\.2\.2\.jar'.*unexpected \['kafka\.jar'\]"),
        ("$(/usr/bin/sed 's/.* //' SUMS)", r"is not the file that jars\.sha256 knows"),
    ],
)
def test_other_jars_than_this_release_was_made_with_are_never_run(
    programs: Path, tmp_path: Path, brought: str, says: str
) -> None:
    import roost.embedded.apache_kafka.program as room

    sums = Path(room.__file__).with_name("jars.sha256")
    script(programs, "java", "echo 'openjdk version \"17.0.15\"' >&2")
    script(
        programs,
        "mvn",
        f"""
for word; do case $word in -DoutputDirectory=*) to=${{word#*=}};; esac; done
/bin/mkdir -p "$to"
for jar in {brought.replace("SUMS", str(sums))}; do echo other > "$to/$jar"; done""",
    )
    with pytest.raises(SettingsInvalid, match=says):
        provided(tmp_path / "cache", print)
    assert not list((tmp_path / "cache").iterdir())
