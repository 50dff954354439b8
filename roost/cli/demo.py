"""The demo, as a command."""

from __future__ import annotations

from typing import Annotated

import typer

from roost import settings

PANEL = "Local stack"


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command("demo", rich_help_panel=PANEL)(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
) -> None:
    """Airlines sign up, are trained, checked, served by three replicas, retrained, rolled back. Exit code 1 if not."""
    from roost.embedded.demo import run

    raise typer.Exit(run.run(settings.load(), keep=keep))
