"""Entry point of the command `roost`."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Final

import typer
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

from roost import settings
from roost.cli import examples
from roost.cli.wording import EXIT_INTERRUPTED
from roost.contracts.errors import RoostError

app = typer.Typer(
    name="roost",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One TensorFlow model per customer, from a signup event to every serving replica, safely.",
    epilog="Start with `roost up`; then `roost signup CUSTOMER` and `roost why CUSTOMER`.",
)

#: Each of these modules has a function `register(app)` that adds its commands.
MODULES: Final = (
    "roost.cli.stack",
    "roost.cli.customers",
    "roost.cli.oncall",
    "roost.cli.bus",
    "roost.cli.dead_letters",
    "roost.cli.database",
    "roost.cli.rebuild",
    "roost.cli.inspect",
    "roost.cli.doctor",
    "roost.cli.processes",
    "roost.cli.tokens",
    "roost.cli.demo",
)


def build() -> typer.Typer:
    """The whole command, with every module's commands."""
    for module in MODULES:
        importlib.import_module(module).register(app)
    examples.install(app)
    return app


@app.callback()
def begin(context: typer.Context) -> None:
    """One TensorFlow model per customer, from a signup event to every serving replica, safely."""
    # `roost up` and the demo take only what people give: the file of an earlier stack is its own work.
    if context.invoked_subcommand not in {"up", "demo"}:
        settings.adopt_local_stack()


def main() -> None:
    """Run the command. An expected error is one line on standard error and exit code 1; a bug keeps its traceback."""
    # Commands speak for themselves; a process that logs sets its own handlers.
    logging.getLogger().addHandler(logging.NullHandler())
    # Where structlog is installed (Airflow brings it), retries would be printed between the lines of an answer.
    set_on_retry_hooks([LoggingOnRetryHook])
    try:
        build()()
    except KeyboardInterrupt:
        # While the command itself is still being put together. Later typer hears it.
        raise SystemExit(EXIT_INTERRUPTED) from None
    except RoostError as error:
        print(f"roost: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
