"""``python -m bench``: run benchmarks by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.options import Options
from bench.programs import DEFAULT, PROGRAMS, chosen

_HELP = """Measure Roost's real parts on this machine; print tables, write JSON to bench/out/.

Each benchmark starts what it needs in a directory of its own under /tmp and removes it again. Baselines run in the same
run. Machines are noisy: close other programs, and compare rows of one table with each other.

\b
  python -m bench                 B1, B2, B9 and B10, as `make bench`
  python -m bench B1 B2 -n 30     ready to serving, and skew
  python -m bench B1 -n 3 --no-baseline     a quick look
  python -m bench --list          what there is, and its minutes
"""
_CHURN = (100, 1_000, 3_000)
_console = Console(width=140 if not sys.stdout.isatty() else None)


def main(  # noqa: PLR0913, PLR0917 (Typer reads the options from the arguments)
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[B1 B2 B8 B9 B10]...", help="Which; see --list.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples of B1 and B2.")] = 30,
    models: Annotated[int, typer.Option(min=1, help="Served models of B1 and B2.")] = 10,
    signups: Annotated[int, typer.Option(min=1, max=5, help="Signups of B10.")] = 3,
    every_ms: Annotated[float, typer.Option(min=1, help="B1: milliseconds between two questions to a node.")] = 5,
    baseline: Annotated[bool, typer.Option(help="B1: measure config-file polling too.")] = True,
    churn: Annotated[list[int] | None, typer.Option(min=1, help="B11: models; repeat it for more numbers.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="B1: keep the two trained models here, or take them.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show the benchmarks and end.")] = False,
) -> None:
    """Run what is named."""
    if show_list:
        _list()
        return
    wanted = tuple(name.upper() for name in names or DEFAULT)
    try:
        programs = chosen(wanted)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="names") from error
    options = Options(
        wanted=frozenset(wanted),
        count=count,
        models=models,
        signups=signups,
        every=every_ms / 1000,
        baseline=baseline,
        churn=tuple(churn or _CHURN),
        artifacts=artifacts,
        say=lambda sentence: print(f"  {sentence}", file=sys.stderr, flush=True),
    )
    for program in programs:
        for report in program.run(options):
            report.show(_console)
            _console.print(f"  written to {report.write()}", style="dim")


def _list() -> None:
    table = Table("name", "measures", "against", "minutes")
    for program in PROGRAMS:
        table.add_row(", ".join(program.names), program.measures, program.against, f"{program.minutes:g}")
    _console.print(table)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=_HELP)(main)
    app(prog_name="python -m bench")
