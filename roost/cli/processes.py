"""Commands that are processes: what a container or the local stack starts."""

from __future__ import annotations

from typing import Annotated

import typer

from roost import process, settings

PANEL = "Processes"
Pool = Annotated[str, typer.Option("--pool", "-p", help="Serving pool.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    consume = typer.Typer(help="Kafka consumers.", no_args_is_help=True)
    consume.command("signups")(consume_signups)
    consume.command("models")(consume_models)
    app.add_typer(consume, name="consume", rich_help_panel=PANEL)
    for command in (deployer, console, node, restart):
        app.command(command.__name__, rich_help_panel=PANEL)(command)


def consume_signups() -> None:
    """Customers' events to onboarding rows, then one Airflow run at a time."""
    from consumers.main import run_signups

    loaded = settings.load()
    raise typer.Exit(process.run("signup-consumer", loaded, lambda stop: run_signups(loaded, stop)))


def consume_models() -> None:
    """`models.ready` and `deploy.commands` to rollout rows and commands."""
    from consumers.main import run_models

    loaded = settings.load()
    raise typer.Exit(process.run("model-consumer", loaded, lambda stop: run_models(loaded, stop)))


def deployer() -> None:
    """Rollout controller, promoter, reconciler and outbox relay."""
    from deployer.main import run

    loaded = settings.load()
    raise typer.Exit(process.run("deployer", loaded, lambda stop: run(loaded, stop)))


def console() -> None:
    """Web pages and REST API."""
    from deployer.console.main import run

    loaded = settings.load()
    raise typer.Exit(process.run("console", loaded, lambda stop: run(loaded, stop)))


def node(
    pool: Pool = "default",
    name: Annotated[str | None, typer.Option(help="Name of this node; the host's name by default.")] = None,
    control: Annotated[
        str, typer.Option(help="host:port of the control port; port 0 takes a free one.")
    ] = "127.0.0.1:0",
    rest: Annotated[str, typer.Option(help="host:port where the gateway answers REST.")] = "127.0.0.1:0",
    grpc: Annotated[str, typer.Option(help="host:port where the gateway answers gRPC.")] = "127.0.0.1:0",
    sync_only: Annotated[
        bool, typer.Option("--sync-only", help="Fill the cache, write the config, and end: a pod's init step.")
    ] = False,
) -> None:
    """One serving replica: model server, gateway, sync and ack."""
    from serving.node.main import NodeOptions, run

    loaded = settings.load()
    options = NodeOptions(pool=pool, name=name, control=control, rest=rest, grpc=grpc, sync_only=sync_only)
    raise typer.Exit(process.run(f"node-{pool}", loaded, lambda stop: run(loaded, options, stop)))


def restart(
    pool: Pool = "default",
    reason: Annotated[str, typer.Option(help="Why; it is in the deploy event.")] = "scheduled",
    always: Annotated[bool, typer.Option("--always", help="Restart every node, whatever the policy says.")] = False,
    every: Annotated[float, typer.Option(min=0, help="Seconds between restarts; 0 does one and ends.")] = 0,
) -> None:
    """Rolling restart: one node at a time, capacity held, after a boot test of the config."""
    from deployer.restart.main import RestartOptions, run

    loaded = settings.load()
    options = RestartOptions(pool=pool, reason=reason, always=always, every_seconds=every)
    raise typer.Exit(process.run("restart", loaded, lambda stop: run(loaded, options, stop)))
