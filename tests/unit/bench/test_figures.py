"""Percentiles and cells."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.figures import Grid, bars, cell, grid, percentile, summary
from bench.report import Report

MACHINE: dict[str, str | int | float] = {
    "cores": 2,
    "processor": "a processor",
    "memory_gb": 8,
    "load_1m": 0.5,
    "at": "2026-01-01T00:00:00+00:00",
}


@given(samples=st.lists(st.floats(-1e6, 1e6), min_size=1), percent=st.floats(0, 100))
def test_percentiles_are_those_of_numpy(samples: list[float], percent: float) -> None:
    assert percentile(samples, percent) == pytest.approx(float(np.percentile(samples, percent)), abs=1e-6)


def test_no_samples_give_no_percentile_and_an_empty_cell() -> None:
    assert math.isnan(percentile([], 50))
    assert summary([])["n"] == 0
    assert cell(percentile([], 50)) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), ("text", "text"), (20_000, "20,000"), (0.03124, "0.031"), (48.715, "48.72"), (1234.5, "1,234")],
)
def test_cells_show_as_many_digits_as_mean_something(value: str | float | None, shown: str) -> None:
    assert cell(value) == shown


def test_a_grid_has_a_row_of_percentiles_for_each_list() -> None:
    found = grid("title", "what", {"one": [1.0, 3.0], "none": []})
    assert found.rows[0][:3] == ("one", 2, 2.0)
    assert found.rows[0][3:] == pytest.approx((2.9, 2.98, 3.0))
    assert json.loads(json.dumps(found.document(), allow_nan=False))["rows"][1] == ["none", 0, None, None, None, None]


def test_a_report_says_which_targets_it_missed_and_writes_all_samples(tmp_path: Path) -> None:
    report = Report(
        program="B0",
        machine=MACHINE,
        sizes={"n": 2},
        grids=[Grid(title="a table", columns=("what", "p50"), rows=(("row", 0.7),))],
        targets=[("p50 ≤ 0.5 s", "0.700 s", False)],
        samples={"seconds": [0.6, 0.8]},
    )
    console = Console(record=True, width=120, file=io.StringIO())
    report.show(console)
    written = json.loads(report.write(tmp_path).read_text())
    assert "target p50 ≤ 0.5 s: 0.700 s: MISSED" in console.export_text()
    assert written["targets"] == [{"name": "p50 ≤ 0.5 s", "found": "0.700 s", "met": False}]
    assert written["samples"] == {"seconds": [0.6, 0.8]}
    assert (tmp_path / "b0.json").is_file()
    assert "| row | 0.700 |" in (tmp_path / "b0.md").read_text()
    assert "**missed**" in report.markdown()


def test_bars_stand_one_after_the_other_and_are_as_long_as_their_share() -> None:
    first, second = bars({"copy": (0.3, 0.1), "vet": (0.0, 0.4)}, width=8).splitlines()
    assert first == "copy     ███░          400 ms"
    assert second == "vet          ░░░░      400 ms"
    assert "0 ms" in bars({"copy": (0.0, 0.0)})
