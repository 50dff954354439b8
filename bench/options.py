"""What a run was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Each program takes what concerns it."""

    #: Names of the programs that were asked for.
    wanted: frozenset[str]
    #: Samples.
    count: int
    #: Served models while samples are taken.
    models: int
    #: Signups of B10.
    signups: int
    #: Seconds between two questions to one node.
    every: float
    #: Whether the config-file baseline runs too.
    baseline: bool
    #: Numbers of models that B11 loads and unloads.
    churn: tuple[int, ...]
    #: Where the two models of B1 lie, or are put; None: made anew and thrown away.
    artifacts: Path | None
    #: Told one sentence at each step.
    say: Callable[[str], None]
