"""What a panel and a dashboard are, and how Grafana wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Json = dict[str, object]

PROMETHEUS: Final[Json] = {"type": "prometheus", "uid": "${prometheus}"}
LEDGER: Final[Json] = {"type": "grafana-postgresql-datasource", "uid": "${ledger}"}
#: Grafana's grid: 24 columns; a row of panels is 8 high.
_COLUMNS: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: what it asks, in PromQL or SQL, and how it is shown."""

    title: str
    #: (query, legend) each.
    queries: tuple[tuple[str, str], ...]
    #: Grafana's name of a unit: ``s``, ``bytes``, ``short``, ``percentunit``, ``reqps``.
    unit: str = "short"
    #: ``timeseries``, ``stat`` or ``table``.
    kind: str = "timeseries"
    width: int = 8
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard. `source` is what its panels ask."""

    uid: str
    title: str
    source: Json
    panels: tuple[Panel, ...]
    variables: tuple[Json, ...] = ()


def quantiles(name: str) -> tuple[tuple[str, str], ...]:
    """The queries of a histogram: median, 95th and 99th of a hundred."""
    return tuple(
        (f"histogram_quantile({share}, sum by (le) (rate({name}_bucket[$__rate_interval])))", f"p{share * 100:g}")
        for share in (0.5, 0.95, 0.99)
    )


def document(board: Dashboard) -> Json:
    """The dashboard as Grafana imports it."""
    prometheus = board.source is PROMETHEUS
    source: Json = {
        "name": "prometheus" if prometheus else "ledger",
        "label": "Prometheus" if prometheus else "Ledger (PostgreSQL, read only)",
        "type": "datasource",
        "query": board.source["type"],
    }
    return {
        "uid": board.uid,
        "title": board.title,
        "tags": ["roost"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h" if prometheus else "now-90d", "to": "now"},
        "templating": {"list": [source, *board.variables]},
        "panels": _panels(board.panels, board.source),
    }


def _panels(panels: Sequence[Panel], source: Json) -> list[Json]:
    found: list[Json] = []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
        found.append(_panel(panel, source) | {"id": number, "gridPos": place})
        x += panel.width
    return found


def _panel(panel: Panel, source: Json) -> Json:
    return {
        "title": panel.title,
        "description": panel.text,
        "type": panel.kind,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            _target(letter, query, legend, source)
            for letter, (query, legend) in zip("ABC", panel.queries, strict=False)
        ],
    }


def _target(letter: str, query: str, legend: str, source: Json) -> Json:
    if source is PROMETHEUS:
        return {"refId": letter, "datasource": source, "expr": query, "legendFormat": legend}
    shape = "time_series" if " AS time" in query else "table"
    return {"refId": letter, "datasource": source, "rawQuery": True, "rawSql": query, "format": shape}
