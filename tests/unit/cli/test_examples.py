"""Each command's help teaches by an example, and each example is one that the command takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
import typer

from roost.cli.app import build
from roost.cli.examples import EXAMPLES


def commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from commands(one, f"{path} {name}".strip())


COMMANDS = dict(commands(typer.main.get_command(build())))


def test_every_command_has_an_example_and_no_example_is_of_a_command_that_is_gone() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(("path", "example"), [(path, one) for path, many in EXAMPLES.items() for one in many])
def test_an_example_is_taken_by_its_command_and_shown_in_its_help(path: str, example: str) -> None:
    command = COMMANDS[path]
    words = [word for word in shlex.split(example) if not word.startswith("ROOST_")]
    leading = ["roost", *path.split()]
    assert words[: len(leading)] == leading
    command.make_context(path, words[len(leading) :])
    assert example in (command.epilog or "").split("\n\n")
