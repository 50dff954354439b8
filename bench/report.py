"""What a program found: printed as tables, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.figures import Grid, cell
from bench.machine import in_words

OUT: Final = Path("bench/out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One program's result."""

    program: str
    machine: dict[str, str | int | float]
    #: What it was run with.
    sizes: Mapping[str, object]
    grids: Sequence[Grid]
    #: Name of a target, what was found, and whether it is met.
    targets: Sequence[tuple[str, str, bool]] = ()
    #: Where the time goes, drawn with characters.
    chart: str = ""
    #: Every sample, so that others can look again.
    samples: Mapping[str, object] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print it."""
        sizes = ", ".join(f"{name} {value}" for name, value in self.sizes.items())
        console.print(f"\n[bold]{self.program}[/] · {in_words(self.machine)}\n{sizes}", highlight=False)
        for grid in self.grids:
            console.print(_drawn(grid))
            for note in grid.notes:
                console.print(f"  {note}", style="dim", highlight=False)
        if self.chart:
            console.print(self.chart, style="cyan", highlight=False)
        for name, found, met in self.targets:
            mark = "[green]met[/]" if met else "[bold red]MISSED[/]"
            console.print(f"  target {name}: {found}: {mark}", highlight=False)

    def markdown(self) -> str:
        """Its tables and targets, as `docs/performance.md` shows them."""
        sizes = ", ".join(f"{name} {value}" for name, value in self.sizes.items())
        targets = [f"- target {name}: {found}, {'met' if met else '**missed**'}" for name, found, met in self.targets]
        tables = "\n\n".join(grid.markdown() for grid in self.grids)
        chart = [f"```\n{self.chart}\n```"] if self.chart else []
        return "\n\n".join([f"{in_words(self.machine)}; {sizes}.", tables, *chart, "\n".join(targets)]) + "\n"

    def write(self, directory: Path = OUT) -> Path:
        """Write ``<program>.json``, and its tables as ``<program>.md`` beside it. Returns where the first is."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.program.lower()}.json"
        document = {
            "program": self.program,
            "machine": self.machine,
            "sizes": dict(self.sizes),
            "tables": [grid.document() for grid in self.grids],
            "targets": [{"name": name, "found": found, "met": met} for name, found, met in self.targets],
            "samples": dict(self.samples),
        }
        path.with_suffix(".md").write_text(self.markdown())
        path.write_text(json.dumps(document, indent=1, default=str) + "\n")
        return path


def _drawn(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left")
    for index, column in enumerate(grid.columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=bool(index))
    for row in grid.rows:
        table.add_row(*map(cell, row))
    return table
