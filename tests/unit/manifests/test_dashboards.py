"""Dashboards are as their code says, and ask what exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roost.dashboards import __main__ as dashboards
from roost.telemetry.catalogue import series
from tests.unit.manifests.test_alerts import RECORDED, names_in

BOARDS = {name: json.loads(text) for name, text in dashboards.rendered().items()}
TARGETS = [
    pytest.param(target, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
    if "expr" in target
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_panel_asks_metrics_that_exist(target: dict[str, Any]) -> None:
    asked = names_in(target["expr"])
    assert asked
    assert asked - series() - RECORDED == set()


def test_what_is_committed_is_what_the_code_says_and_a_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dashboards.main(["--check"]) == 0
    assert dashboards.main(["--folder", str(tmp_path)]) == 0
    (tmp_path / "fleet.json").write_text("{}")
    assert dashboards.main(["--check", "--folder", str(tmp_path)]) == 1
    assert "fleet.json is not up to date" in capsys.readouterr().err


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_do_not_overlap_and_have_a_question_each(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        assert panel["targets"]
        taken |= cells
