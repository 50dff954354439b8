"""Each command in a runbook is one that the command line takes as it is written: somebody copies it at night."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from roost import settings
from roost.cli.app import build
from roost.embedded import addresses, catalogue, ports
from roost.embedded.blueprint import Blueprint
from roost.embedded.state_dir import StateDir

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted((ROOT / "docs/runbooks").glob("*.md")), ROOT / "docs/on-call.md"]
#: In a sentence, or a line of a block, with what a `#` says after it.
_CODE = re.compile(r"`(roost [^`]+)`|^ *(roost [^#\n]+)", re.MULTILINE)


def written() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in _CODE.finditer(page.read_text()):
            yield page.name, (found[1] or found[2]).strip()


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = typer.main.get_command(build_once())
    rest = list(words)
    while rest and (inner := getattr(command, "commands", None)) is not None:
        assert rest[0] in inner, f"there is no command {' '.join(words)}"
        command = inner[rest.pop(0)]
    return command, rest


_BUILT: list[typer.Typer] = []


def build_once() -> typer.Typer:
    if not _BUILT:
        _BUILT.append(build())
    return _BUILT[0]


@pytest.mark.parametrize(("page", "line"), sorted(set(written())))
def test_a_command_in_a_runbook_is_taken_as_it_is_written(page: str, line: str) -> None:
    command, rest = command_of(shlex.split(line)[1:])
    # A bare name is talk of the command; the page for people on call has a table of them with their targets.
    talk = not rest or (page == "on-call.md" and len(rest) == 1)
    if not talk:
        command.make_context(line, rest)


def test_every_part_whose_log_a_runbook_reads_is_one_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    settings.load.cache_clear()
    state = StateDir.at(tmp_path)
    blueprint = Blueprint(state=state, addresses=addresses.choose(None, {}), outside=settings.load(), given=frozenset())
    known = {part.name for part in catalogue.parts(blueprint)}
    named = {line.split()[2] for _, line in written() if re.match(r"roost logs [a-z]", line)}
    assert named
    assert named <= known


def test_the_runbooks_name_commands_at_all() -> None:
    assert len({line for _, line in written()}) > 40
