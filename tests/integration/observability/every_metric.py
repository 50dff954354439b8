"""A process that shows every metric of the catalogue, with samples that grow, until its standard input ends."""

from __future__ import annotations

import sys
import threading

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from roost.telemetry import metrics
from roost.telemetry.health import HealthServer


def move(wrapper: MetricWrapperBase) -> None:
    one = wrapper.labels(*("x" for _ in wrapper._labelnames)) if wrapper._labelnames else wrapper
    if isinstance(one, Histogram):
        one.observe(1)
    elif isinstance(one, Counter | Gauge):
        one.inc()


def main() -> None:
    wrappers = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    health = HealthServer("127.0.0.1", 0, dict)
    print(health.address, flush=True)
    while not ended.wait(0.1):
        for wrapper in wrappers:
            move(wrapper)


if __name__ == "__main__":
    main()
