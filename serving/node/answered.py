"""What the model server counts of one served name, read from its own metrics page.

Official names: `request_count{model_name, status}` and `request_latency{model_name, API, entrypoint}`, in microseconds.
"""

from __future__ import annotations

import re
from typing import Final

from roost.contracts.traffic import Answered

_COUNT: Final = ":tensorflow:serving:request_count{"
_LATENCY: Final = ":tensorflow:serving:request_latency_bucket{"
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_MICROSECONDS: Final = 1e6
#: Stands for the bucket without a bound. Seconds; nothing takes thirty years.
_NO_BOUND: Final = 1e9


def read_page(page: str, name: str, server: int) -> Answered:
    """The counts of one served name in a metrics page of the server with that process id."""
    mine = f'model_name="{name}"'
    ended: dict[str, int] = {}
    took: dict[float, int] = {}
    below: dict[tuple[str, str], int] = {}
    for line in page.splitlines():
        if not line.startswith((_COUNT, _LATENCY)) or mine not in line:
            continue
        sample, _, text = line.rpartition(" ")
        labels, count = dict(_LABEL.findall(sample)), int(float(text))
        if line.startswith(_COUNT):
            ended[labels["status"]] = count
            continue
        series = labels["API"], labels["entrypoint"]
        bound = _NO_BOUND if labels["le"] == "+Inf" else float(labels["le"]) / _MICROSECONDS
        took[bound] = took.get(bound, 0) + count - below.get(series, 0)
        below[series] = count
    return Answered(server=server, ended=ended, took=tuple(sorted(took.items())))
