from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from roost.contracts.errors import SettingsInvalid
from roost.embedded import supervisor_config
from roost.embedded.part import Part
from roost.embedded.state_dir import StateDir

ODD_PATHS = ("/tmp/a b/c", "/tmp/it's/x", '/tmp/"quoted"/x', "/tmp/a;b#c/x", "/tmp/ü/x")


def parsed(text: str, directory: Path) -> dict[str, Any]:
    """What supervisord itself reads: program name to its configuration."""
    file = directory / "supervisord.conf"
    file.write_text(text)
    options = ServerOptions()
    options.realize(args=["-c", str(file)])
    return {process.name: process for group in options.process_group_configs for process in group.process_configs}


@pytest.mark.parametrize("path", ODD_PATHS)
def test_supervisord_reads_any_path_as_it_was_meant(path: str, tmp_path: Path) -> None:
    odd = tmp_path / path.removeprefix("/tmp/")
    state = StateDir.at(odd)
    state.prepare()
    part = Part(name="broker", command=(path, "-m", "x", f"{path}/y"), environment={"ROOST_HEALTH_PORT": "8123"})
    program = parsed(supervisor_config.render(state, [part]), tmp_path)["broker"]
    assert shlex.split(program.command) == list(part.command)
    assert program.stdout_logfile == str(state.log("broker"))
    assert program.directory == str(odd)
    assert program.environment["ROOST_HEALTH_PORT"] == "8123"


@given(word=st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30))
def test_a_word_is_either_read_back_as_it_is_or_refused(word: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.getbasetemp()
    state = StateDir.at(directory / "state")
    state.prepare()
    try:
        text = supervisor_config.render(state, [Part(name="one", command=("/bin/echo", word))])
    except SettingsInvalid:
        return
    assert shlex.split(parsed(text, directory)["one"].command) == ["/bin/echo", word]


@pytest.mark.parametrize("path", ["/tmp/a #b", "/tmp/a ;b", "/tmp/a\nb"])
def test_a_path_that_would_read_as_a_comment_is_refused(path: str) -> None:
    with pytest.raises(SettingsInvalid, match="Choose another directory"):
        supervisor_config.render(StateDir.at(Path("/tmp/x")), [Part(name="one", command=(path,))])


def test_a_state_directory_with_a_per_cent_sign_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="per cent sign"):
        supervisor_config.render(StateDir.at(Path("/tmp/100%/x")), [])


def test_a_step_runs_once_and_a_service_is_started_again(tmp_path: Path) -> None:
    state = StateDir.at(tmp_path / "state")
    state.prepare()
    parts = [Part(name="step", command=("/bin/true",), step=True), Part(name="service", command=("/bin/true",))]
    programs = parsed(supervisor_config.render(state, parts), tmp_path)
    assert programs["step"].autorestart is False
    assert programs["step"].startretries == 0
    assert programs["service"].autorestart is not False
    assert not any(program.autostart for program in programs.values())


def test_a_variable_that_is_not_a_plain_word_is_a_bug() -> None:
    part = Part(name="one", command=("/bin/true",), environment={"A": "two words"})
    with pytest.raises(ValueError, match="not a plain word"):
        supervisor_config.render(StateDir.at(Path("/tmp/x")), [part])
