"""What a manifest may name of Roost: settings by their variables, commands by their words."""

from __future__ import annotations

import typing
from functools import cache

import typer
from pydantic import BaseModel
from typer import Exit
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from roost.cli.app import build
from roost.settings import Settings


@cache
def variables() -> frozenset[str]:
    """Every ``ROOST_…`` that a process reads."""
    return frozenset(_fields(Settings, "ROOST_"))


def _fields(model: type[BaseModel], prefix: str) -> typing.Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


@cache
def _root() -> TyperGroup:
    command = typer.main.get_command(build())
    assert isinstance(command, TyperGroup)
    return command


def complaint(words: list[str]) -> str | None:
    """Why `roost WORDS` is no command, or None. Options and arguments are parsed; nothing is run."""
    command: typing.Any = _root()
    rest, context = list(words), None
    try:
        while isinstance(command, TyperGroup):
            if not rest:
                return f"{command.name} needs a command"
            context = command.make_context(command.name, rest, parent=context)
            left = [*context._protected_args, *context.args]
            _, command, rest = command.resolve_command(context, left)
        command.make_context(command.name, rest, parent=context)
    except Exit:
        # Asked for help, and gave it.
        return None
    except UsageError as error:
        return str(error.format_message()) or f"{' '.join(words)} is not complete"
    return None
