"""The catalogue is complete, bounded, and what its page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from roost import metrics_docs
from roost.telemetry import metrics
from roost.telemetry.catalogue import LABELS, catalogue, series

#: Every process of a large installation shows at most so many series of one metric.
MOST_SERIES = 1500


def test_names_say_subsystem_and_unit() -> None:
    units = ("_total", "_seconds", "_bytes", "_count", "_events", "_open", "_generation", "_ready")
    assert [metric.name for metric in catalogue() if not re.fullmatch(r"roost(_[a-z0-9]+)+", metric.name)] == []
    assert [metric.name for metric in catalogue() if not metric.name.endswith(units)] == []


def test_no_metric_grows_with_customers_or_models() -> None:
    assert not LABELS.keys() & {"customer", "model", "name", "version", "rollout", "run_id"}
    assert [metric.name for metric in catalogue() if metric.most > MOST_SERIES] == []


def test_a_histogram_is_asked_by_its_parts() -> None:
    assert {"roost_node_load_seconds_bucket", "roost_node_load_seconds_count"} <= series()
    assert "roost_node_load_seconds" not in series()
    assert "roost_consumer_events_total" in series()


@pytest.mark.parametrize(
    ("name", "labels", "missing"),
    [("roost_node_x_total", ["customer"], "no bound for label customer"), ("roost_odd_x_total", [], "which process")],
)
def test_an_unbounded_label_and_a_metric_of_nobody_are_refused(
    name: str, labels: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Counter(name, "Odd.", labels, registry=CollectorRegistry())
    monkeypatch.setattr(metrics, "ODD", odd, raising=False)
    with pytest.raises(LookupError, match=missing):
        catalogue()


def test_the_page_is_as_committed_and_an_old_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert metrics_docs.main(["--check"]) == 0
    old = tmp_path / "metrics.md"
    old.write_text(metrics_docs.page().replace("Counter", "Kounter") + "more")
    assert metrics_docs.main(["--check", "--page", str(old)]) == 1
    assert "python -m roost.metrics_docs" in capsys.readouterr().err
    assert metrics_docs.main(["--page", str(old)]) == 0
    assert old.read_text() == metrics_docs.page()
