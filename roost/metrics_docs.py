"""Generates `docs/metrics.md` from the catalogue of metrics, and compares it with what is committed.

`python -m roost.metrics_docs` writes it; with ``--check`` it only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from roost.telemetry.catalogue import FOREIGN, LABELS, Metric, catalogue

PAGE: Final = Path("docs/metrics.md")
_HEAD: Final = """\
# Metrics

Generated from `roost/telemetry/metrics.py` and `catalogue.py` by `python -m roost.metrics_docs`. Do not edit.

Each process shows its own at `/metrics`, in Prometheus' text form: consumers and deployer on
`ROOST_HEALTH_HOST:ROOST_HEALTH_PORT`, a serving node on its control port, the console on its own. Names are
`roost_<subsystem>_<name>_<unit>`. No label is a customer, a served name or a version: thousands of customers must not
become thousands of series. What happened to one customer is in the ledger (`roost why`, the dashboard *one customer*).

Alert rules: `manifests/alerts/`, a page for each in [runbooks](runbooks/). Dashboards: `manifests/dashboards/`.
"""


def page() -> str:
    """The whole page."""
    metrics = catalogue()
    parts = [_HEAD]
    for process in sorted({metric.process for metric in metrics}):
        rows = "".join(_row(metric) for metric in metrics if metric.process == process)
        heading = process[:1].upper() + process[1:]
        table = "| name | kind | labels | series at most | meaning |\n|---|---|---|---|---|\n"
        parts.append(f"## {heading}\n{table}{rows}")
    used = {label for metric in metrics for label in metric.labels}
    labels = "".join(f"| `{name}` | {LABELS[name].values} | {LABELS[name].most} |\n" for name in sorted(used))
    parts.append(f"## Labels\n| label | values | at most |\n|---|---|---|\n{labels}")
    foreign = "".join(f"| `{name}` | {who} |\n" for name, who in sorted(FOREIGN.items()))
    parts.append(f"## Of others\nWhat rules and dashboards use besides.\n\n| name | who |\n|---|---|\n{foreign}")
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.most} | {metric.meaning} |\n"


def main(arguments: list[str]) -> int:
    """Entry of `python -m roost.metrics_docs [--check]`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m roost.metrics_docs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    parser.add_argument("--page", type=Path, default=PAGE, help="the generated file")
    options = parser.parse_args(arguments)
    if not options.check:
        options.page.write_text(page())
    elif not options.page.is_file() or options.page.read_text() != page():
        print(f"{options.page} is not up to date: run `python -m roost.metrics_docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except OSError as error:
        raise SystemExit(f"nothing is written: {error}") from error
    raise SystemExit(code)
