"""Counts what the gateway answered and what failed: Envoy knows, and forgets it with each start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from roost.contracts.errors import NodeUnavailable
from roost.telemetry import metrics
from serving.gateway.admin import Answers

_EVERY_SECONDS: Final = 5.0


class GatewayMeter:
    """Adds up what `ask` tells. A gateway that is away adds nothing; one that counts anew is a fresh one."""

    def __init__(self, ask: Callable[[], Mapping[str, Answers]]) -> None:
        """`ask` gives totals since the gateway's start, by door. Raises `NodeUnavailable`."""
        self._ask = ask
        self._last: dict[str, Answers] = {}
        for door in ("rest", "grpc"):
            metrics.GATEWAY_ANSWERS.labels(door=door)
            metrics.GATEWAY_FAILED.labels(door=door)

    def step(self) -> None:
        """Ask once."""
        try:
            found = self._ask()
        except NodeUnavailable:
            return
        for door, now in found.items():
            last = self._last.get(door, Answers(total=0, failed=0))
            if now.total < last.total or now.failed < last.failed:
                last = Answers(total=0, failed=0)
            metrics.GATEWAY_ANSWERS.labels(door=door).inc(now.total - last.total)
            metrics.GATEWAY_FAILED.labels(door=door).inc(now.failed - last.failed)
            self._last[door] = now

    def start(self, stop: threading.Event) -> None:
        """Ask every few seconds until `stop`, on a thread of its own."""

        def run() -> None:
            while not stop.wait(_EVERY_SECONDS):
                self.step()

        threading.Thread(target=run, name="gateway-meter", daemon=True).start()
