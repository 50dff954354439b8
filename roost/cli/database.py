"""Commands of `roost`: database."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from roost import settings

PANEL = "Set-up"
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    database = typer.Typer(help="The ledger's schema in PostgreSQL.", no_args_is_help=True)
    database.command("migrate")(migrate)
    database.command("revision")(revision)
    app.add_typer(database, name="database", rich_help_panel=PANEL)


def migrate(as_json: Json = False) -> None:
    """Create the database if need be, and bring its schema up to date. Safe to run again, and from several places."""
    from roost.adapters.postgres import migrate as migrations

    reached = migrations.migrate(settings.load().database)
    print(json.dumps({"revision": reached}) if as_json else f"The database is at revision {reached}.")


def revision(
    at_least: Annotated[
        bool, typer.Option("--at-least", help="A newer one does too: an upgrade is under way, and old pods may start.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The schema's revision, and the newest that this version knows. Exit code 1 where they differ."""
    from roost.adapters.postgres import migrate as migrations

    found, newest = migrations.current(settings.load().database), migrations.head()
    if as_json:
        print(json.dumps({"revision": found, "newest": newest}))
    elif found == newest:
        print(f"The database is at revision {found}, the newest.")
    else:
        print(f"The database is at revision {found or '(none)'}; the newest is {newest}. Run `roost database migrate`.")
    raise typer.Exit(0 if fits(found, newest, at_least=at_least) else 1)


def fits(found: str | None, newest: str, *, at_least: bool) -> bool:
    """Whether this version can run on the revision `found`. Revisions are numbers of four digits."""
    if at_least:
        return found is not None and found >= newest
    return found == newest
