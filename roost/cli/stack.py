"""Commands of the local stack: up, down, status, logs."""

from __future__ import annotations

from typing import Annotated

import typer

from roost import settings

PANEL = "Local stack"
Json = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    for command in (up, down, status, logs):
        app.command(command.__name__, rich_help_panel=PANEL)(command)


def up(
    wait: Annotated[bool, typer.Option("--wait", help="Return once all is ready; it goes on running.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return at once; see roost status.")] = False,
    port: Annotated[
        list[str] | None, typer.Option("--port", help="NAME=NUMBER fixes a port, NAME=0 frees it again.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="This part and what it needs; repeatable.")] = None,
    bus: Annotated[
        settings.Bus | None,
        typer.Option("--bus", help="apache: Apache Kafka, which keeps its log; needs Java 17, once Maven."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start Kafka, storage, database, Airflow, serving nodes and Roost's own processes here; Ctrl-C stops them."""
    from roost.embedded import commands

    options = commands.UpOptions(ports=tuple(port or ()), only=tuple(only or ()), as_json=as_json, bus=bus)
    loaded = settings.load()
    state = commands.state_dir(loaded)
    if detach and not wait:
        raise typer.Exit(commands.up_detached(state, options))
    raise typer.Exit(commands.up(state, options, loaded, stay=not wait))


def down() -> None:
    """Stop the local stack; no process and no port stays behind."""
    from roost.embedded import commands

    raise typer.Exit(commands.down(commands.state_dir(settings.load())))


def status(as_json: Json = False) -> None:
    """Every part: state, address, seconds, memory. Exit code 0 ready, 1 not all of it, 3 not running."""
    from roost.embedded import commands

    raise typer.Exit(commands.status(commands.state_dir(settings.load()), as_json=as_json))


def logs(
    part: Annotated[str, typer.Argument(help="As in roost status; `supervisord` for the supervisor's own.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows; Ctrl-C ends it.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """The log of one part."""
    from roost.embedded import commands, part_logs

    part_logs.logs(commands.state_dir(settings.load()), part, lines=lines, follow=follow)
