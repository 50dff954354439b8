"""Command of `roost`: doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from roost import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roost.doctor.findings import Finding

PANEL = "Set-up"
_MARKS = {"well": "[green]✓[/]", "doubtful": "[yellow]![/]", "wrong": "[red]✗[/]"}


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command("doctor", rich_help_panel=PANEL)(doctor)


def doctor(
    probe: Annotated[bool, typer.Option("--probe", help="Also write an object and delete it.")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave this out, such as airflow or pools: what this process neither needs nor may reach."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Check every dependency and setting of this environment; say the remedy. Exit code 1 where something is wrong."""
    from roost.doctor.findings import Level
    from roost.doctor.wiring import checks, chosen, examine

    left_out = tuple(without or ())
    found = examine(chosen(checks(settings.load(), probe=probe, without=left_out), left_out))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        _show(found)
    raise typer.Exit(1 if any(one.level is Level.WRONG for one in found) else 0)


def _show(found: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    width = max(len(one.about) for one in found)
    for one in found:
        console.print(f"{_MARKS[one.level]} {one.about:<{width}}  {escape(one.said)}")
        if one.remedy:
            console.print(f"  {'':<{width}}  [dim]→ {escape(one.remedy)}[/]")
    counts = {level: sum(one.level == level for one in found) for level in ("wrong", "doubtful")}
    console.print(f"{len(found)} findings: {counts['wrong']} wrong, {counts['doubtful']} doubtful.")
