"""Where Envoy is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.contracts.errors import SettingsInvalid
from serving.gateway.binary import command, find_envoy


def a_program(directory: Path) -> Path:
    program = directory / "envoy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_named_program_is_taken(tmp_path: Path):
    program = a_program(tmp_path)

    assert find_envoy(str(program)) == program


def test_a_named_program_that_is_not_there_is_not_replaced_by_another(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__ENVOY"):
        find_envoy(str(tmp_path / "envoy"))


def test_the_one_on_the_path_comes_before_the_one_in_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = a_program(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_envoy("auto") == program


def test_without_one_on_the_path_the_wheel_gives_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert find_envoy("auto").name == "envoy"
    assert find_envoy("auto").is_file()


def test_a_gateway_takes_one_thread():
    arguments = command(Path("/bin/envoy"), Path("/run/envoy.json"))

    assert arguments[:3] == ["/bin/envoy", "-c", "/run/envoy.json"]
    assert arguments[arguments.index("--concurrency") + 1] == "1"
