"""Commands that look at this installation: settings and policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from roost import policy_file, settings
from roost.cli import wording

PANEL = "Set-up"


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    app.command("settings", rich_help_panel=PANEL)(show_settings)
    policy = typer.Typer(help="The policy file: checks, bounds, approval, bake.", no_args_is_help=True)
    policy.command("check")(check_policy)
    app.add_typer(policy, name="policy", rich_help_panel=PANEL)


def show_settings(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Every setting, its value and where it comes from. Secrets are hidden."""
    from rich.table import Table

    rows = settings.described()
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
        return
    table = Table(title="Settings")
    table.add_column("setting", no_wrap=True, min_width=max(len(row.variable) for row in rows))
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    for row in rows:
        table.add_row(row.variable, row.value, row.source, style=None if row.source != "default" else "dim")
    wording.screen().print(table)


def check_policy(
    file: Annotated[Path, typer.Argument(help="YAML file.")],
    customer: Annotated[str | None, typer.Option(help="Show what holds for this customer.")] = None,
) -> None:
    """Check a policy file; errors name the line."""
    policy = policy_file.read(file)
    if customer:
        print(json.dumps(policy.rules_for(customer).model_dump(mode="json"), indent=1))
    else:
        print(
            f"{file}: valid. {wording.counted(len(policy.cohorts), 'cohort')}, "
            f"{wording.counted(len(policy.customers), 'customer')} with rules of their own."
        )
