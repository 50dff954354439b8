"""Percentiles and cells. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The percentiles that every table shows.
SHOWN: Final = (50, 95, 99)


def percentile(samples: Sequence[float], percent: float) -> float:
    """That percentile, linear between the two nearest samples; NaN where there are none."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(samples: Sequence[float]) -> dict[str, float | int]:
    """``n``, ``p50``, ``p95``, ``p99`` and ``max`` of the samples."""
    shown: dict[str, float | int] = {"n": len(samples)}
    shown |= {f"p{percent}": percentile(samples, percent) for percent in SHOWN}
    shown["max"] = max(samples, default=math.nan)
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One table: a title, columns, and rows of cells. The first column is text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    #: What a reader must know to read it rightly, a sentence each.
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """For scripts."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [[_finite(cell) for cell in row] for row in self.rows],
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """For documents."""
        lines = ["| " + " | ".join(self.columns) + " |", "|---" + "|---:" * (len(self.columns) - 1) + "|"]
        lines += ["| " + " | ".join(cell(value).strip() for value in row) + " |" for row in self.rows]
        return "\n".join([f"**{self.title}**", "", *lines, "", *self.notes])


def grid(title: str, unit: str, samples: Mapping[str, Sequence[float]], notes: Sequence[str] = ()) -> Grid:
    """A row of percentiles for each named list of samples."""
    rows = []
    for name, found in samples.items():
        shown = summary(found)
        rows.append((name, shown["n"], shown["p50"], shown["p95"], shown["p99"], shown["max"]))
    return Grid(title=title, columns=(unit, "n", "p50", "p95", "p99", "max"), rows=tuple(rows), notes=tuple(notes))


def cell(value: str | float | None) -> str:
    """As a table shows it: three digits that mean something."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _finite(value: str | float | None) -> str | float | int | None:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bars(steps: Mapping[str, tuple[float, float]], *, width: int = 60) -> str:
    """A bar a step, one after the other as time goes: ``█`` work that nobody is spared, ``░`` own share. Seconds."""
    total = sum(max(0.0, work) + max(0.0, own) for work, own in steps.values())
    lines, begun = [], 0.0
    for name, (work, own) in steps.items():
        dots = [round(width * max(0.0, part) / total) if total else 0 for part in (work, own)]
        bar = " " * round(width * begun / total if total else 0) + "█" * dots[0] + "░" * dots[1]
        lines.append(f"{name:<8} {bar:<{width + 2}} {(work + own) * 1000:6.0f} ms")
        begun += max(0.0, work) + max(0.0, own)
    return "\n".join(lines)
