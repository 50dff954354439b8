"""What the model server counts of one served name, read from its own metrics page.

Official names: `request_count{model_name, status}` and `request_latency{model_name, API, entrypoint}`, in microseconds.

What counts is what a caller predicts by. REST requests for status and metadata are in both metrics too: in the latency
with an empty API, in the count like any other. So those that were answered are the latencies of the predictions'
APIs; the server times each that it answers, and no other. Those that failed are in the count alone, which does not say
what they asked for: a status asked of a version that is not there is among them. `MultiInference` is in neither.
"""

from __future__ import annotations

import re
from typing import Final

from roost.contracts.traffic import OK, Answered

_COUNT: Final = ":tensorflow:serving:request_count{"
_LATENCY: Final = ":tensorflow:serving:request_latency_bucket{"
#: By gRPC method, and by the verb of a REST path.
_PREDICTIONS: Final = frozenset({"Predict", "Classify", "Regress", "predict", "classify", "regress"})
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_MICROSECONDS: Final = 1e6
#: Stands for the bucket without a bound. Seconds; nothing takes thirty years.
_NO_BOUND: Final = 1e9


def read_page(page: str, name: str, server: int) -> Answered:
    """The counts of one served name in a metrics page of the server with that process id."""
    mine = f'model_name="{name}"'
    failed: dict[str, int] = {}
    took: dict[float, int] = {}
    below: dict[tuple[str, str], int] = {}
    for line in page.splitlines():
        if not line.startswith((_COUNT, _LATENCY)) or mine not in line:
            continue
        sample, _, text = line.rpartition(" ")
        labels, count = dict(_LABEL.findall(sample)), int(float(text))
        if line.startswith(_COUNT):
            failed[labels["status"]] = count
            continue
        if labels["API"] not in _PREDICTIONS:
            continue
        series = labels["API"], labels["entrypoint"]
        bound = _NO_BOUND if labels["le"] == "+Inf" else float(labels["le"]) / _MICROSECONDS
        took[bound] = took.get(bound, 0) + count - below.get(series, 0)
        below[series] = count
    failed.pop(OK, None)
    ended = ({OK: sum(took.values())} if took else {}) | failed
    return Answered(server=server, ended=ended, took=tuple(sorted(took.items())))
