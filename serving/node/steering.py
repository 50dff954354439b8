"""Steers the gateway by what the node holds: who answers requests that choose no version, and what is mirrored."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Final

from roost.contracts.desired import DesiredModel, DesiredState
from roost.ports.clock import Clock
from serving.gateway.table import Mirror, RoutingTable
from serving.node.gateway import Gateway
from serving.node.holdings import Holdings

log = logging.getLogger(__name__)

#: A request that the gateway had sent to a label just before it was told not to must still find it. Seconds.
_LINGER: Final = 1.0
#: Until a gateway that did not follow is told again. Seconds.
_RETRY: Final = 5.0


class Mirrors:
    """What is mirrored, each for a time. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Mirror, float]] = {}

    def set(self, name: str, mirror: Mirror, *, seconds: float) -> None:
        """Mirror this served name so long; again before then goes on. Whoever asked may be gone: it ends by itself."""
        with self._lock:
            self._known[name] = (mirror, self._clock.monotonic() + seconds)

    def end(self, name: str) -> None:
        """Mirror it no longer. Idempotent."""
        with self._lock:
            self._known.pop(name, None)

    def current(self) -> Mapping[str, Mirror]:
        """Those whose time is not over."""
        now = self._clock.monotonic()
        with self._lock:
            self._known = {name: (mirror, until) for name, (mirror, until) in self._known.items() if now < until}
            return {name: mirror for name, (mirror, _) in self._known.items()}

    @property
    def seconds_to_next(self) -> float | None:
        """Until the next one ends; None where nothing is mirrored."""
        with self._lock:
            ends = [until for _, until in self._known.values()]
        return max(0.0, min(ends) - self._clock.monotonic()) if ends else None


class Steering:
    """Keeps the gateway's table as it should be. For the engine's thread."""

    def __init__(self, gateway: Gateway, holdings: Holdings, mirrors: Mirrors, clock: Clock) -> None:
        self._gateway = gateway
        self._holdings = holdings
        self._mirrors = mirrors
        self._clock = clock
        self._table = RoutingTable()
        self._followed = True
        self._retry_at = 0.0
        self._desired: DesiredState | None = None
        self._split: tuple[DesiredModel, ...] = ()

    def follow(self) -> None:
        """Tell the gateway where its table changes: before a label goes that it sends requests to, after it came."""
        if self._desired is not self._holdings.desired:
            self._desired = self._holdings.desired
            self._split = tuple(model for model in self._desired.models if model.split)
        now = self._clock.monotonic()
        asked = self._holdings.still_asked
        for label in [label for label, until in asked.items() if until <= now]:
            del asked[label]
        table = RoutingTable(splits=self._splits(), mirrors=self._mirrors.current())
        if (self._followed and table == self._table) or now < self._retry_at:
            return
        self._followed = self._gateway.steer(table)
        self._retry_at = 0.0 if self._followed else self._clock.monotonic() + _RETRY
        for gone in _pairs(self._table) - _pairs(table):
            asked[gone] = self._clock.monotonic() + _LINGER
        self._table = table

    def seconds_to_next(self) -> float | None:
        """Until it should be called though nothing woke the engine."""
        if not self._followed or self._holdings.still_asked:
            return 0.2
        return self._mirrors.seconds_to_next

    def _splits(self) -> dict[str, dict[str, float]]:
        """Only over labels that the model server has accepted."""
        found = {}
        for model in self._split:
            accepted = self._holdings.labels.get(model.name, {})
            split = {label: percent for label, percent in model.split.items() if label in accepted}
            if split and model.stable is not None:
                found[model.name] = split
        return found


def _pairs(table: RoutingTable) -> set[tuple[str, str]]:
    return {(name, label) for name, split in table.splits.items() for label in split}
