"""The neighbour budget: loads are paced by how long the models that are being served take to answer.

TensorFlow Serving reads, builds and warms up a version on the cores that its other models answer on. So while loads are
under way the gateway's own latencies are looked at: where their 99th percentile leaves the budget, further loads wait.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from roost.contracts.errors import NodeUnavailable
from roost.ports.clock import Clock
from roost.telemetry import metrics

log = logging.getLogger(__name__)

#: Upper bound of a bucket in seconds to the requests in it, counted since the gateway started.
Latencies = Mapping[float, int]

_PERCENTILE: Final = 0.99
#: Fewer answers have no 99th percentile worth acting on.
_ENOUGH: Final = 100
#: Seconds of quiet that the baseline is made of, and seconds of loading that are compared with it.
_BASELINE_SECONDS, _RECENT_SECONDS = 120.0, 3.0
#: Seconds between two looks while something loads, and while nothing does.
_LOOK, _QUIET_LOOK = 0.5, 5.0
#: Loads at a time while neighbours are served: to begin with, and at most.
_FIRST, _MOST = 8, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much slower neighbours may become, and for how long loads may be held for them."""

    #: Times the 99th percentile of before; 0 paces nothing.
    factor: float
    #: Seconds below which no latency counts as slow, whatever it was before.
    floor: float
    #: Seconds that the loads of one busy period wait in all. Then they go on at full pace: a rollout has a deadline.
    patience: float


class NeighbourPace:
    """How many more versions may begin to load. For the engine's thread."""

    def __init__(self, budget: Budget, latencies: Callable[[], Latencies], clock: Clock) -> None:
        """`latencies` asks the gateway, and raises `NodeUnavailable`."""
        self._budget = budget
        self._latencies = latencies
        self._clock = clock
        self._seen: tuple[float, Latencies] | None = None
        self._quiet: deque[tuple[float, dict[float, int]]] = deque()
        self._busy: deque[tuple[float, dict[float, int]]] = deque()
        self._at_once = _FIRST
        self._was_busy = False
        self._baseline: float | None = None
        self._recent: float | None = None
        self._held_since: float | None = None
        self._held_seconds = 0.0
        self._told: list[tuple[str, str]] = []

    @property
    def holding(self) -> bool:
        """Whether loads wait."""
        return self._held_since is not None

    def take(self) -> list[tuple[str, str]]:
        """What happened since the last call, and why."""
        told, self._told = self._told, []
        return told

    def room(self, *, waiting: int, under_way: int) -> int:
        """How many of the `waiting` may begin now beside those `under_way`, by what was last looked at."""
        if self._budget.factor <= 0 or not (waiting or under_way):
            return waiting
        if self._spent() >= self._budget.patience:
            self._let_go("the wait that one busy period may cost is over")
            return waiting
        slow = self._slow()
        if slow is None:
            self._let_go("the neighbours answer as before")
            # Nobody was served, or too few to tell: there is nobody to spare.
            return waiting if self._baseline is None else max(0, self._at_once - under_way)
        self._hold(slow)
        return 0

    def look(self, *, busy: bool) -> None:
        """Ask the gateway, if that is due. `busy` is whether anything loads, or waits to.

        A call takes some milliseconds: nobody should have to wait for it.
        """
        if self._budget.factor > 0:
            self._look(busy=busy)
            if not busy:
                self._rest()

    def _look(self, *, busy: bool) -> None:
        now = self._clock.monotonic()
        interval = _LOOK if busy else _QUIET_LOOK
        if self._seen is not None and now - self._seen[0] < interval and busy == self._was_busy:
            return
        try:
            found = dict(self._latencies())
        except NodeUnavailable:
            self._seen = None
            return
        before, self._seen = self._seen, (now, found)
        since_quiet, self._was_busy = not self._was_busy, busy
        if before is None:
            return
        # A gateway that was started anew counts from nothing.
        fresh = any(found.get(bound, 0) < count for bound, count in before[1].items())
        delta = found if fresh else {bound: count - before[1].get(bound, 0) for bound, count in found.items()}
        into, seconds = (self._quiet, _BASELINE_SECONDS) if since_quiet else (self._busy, _RECENT_SECONDS)
        into.append((now, {bound: count for bound, count in delta.items() if count}))
        while into and now - into[0][0] > seconds:
            into.popleft()
        self._baseline, self._recent = percentile(self._quiet), percentile(self._busy)
        metrics.NODE_NEIGHBOUR_P99.labels(when="quiet").set(self._baseline or 0)
        metrics.NODE_NEIGHBOUR_P99.labels(when="loading").set(self._recent or 0)
        if busy and not since_quiet:
            self._adapt()

    def _adapt(self) -> None:
        # As a connection finds its rate: more by doubling while all is well, half as many when it is not.
        if self._slow() is None:
            self._at_once = min(_MOST, self._at_once * 2)
        else:
            self._at_once = max(1, self._at_once // 2)

    def _slow(self) -> str | None:
        baseline, recent = self._baseline, self._recent
        if baseline is None or recent is None:
            return None
        allowed = max(self._budget.floor, baseline * self._budget.factor)
        if recent <= allowed:
            return None
        return (
            f"99 % of the neighbours' answers took up to {recent * 1000:.0f} ms, "
            f"and up to {baseline * 1000:.0f} ms before; {allowed * 1000:.0f} ms are allowed"
        )

    def _spent(self) -> float:
        now = self._clock.monotonic()
        return self._held_seconds + (now - self._held_since if self._held_since is not None else 0.0)

    def _hold(self, why: str) -> None:
        if self._held_since is None:
            self._held_since = self._clock.monotonic()
            self._told.append(("loads held", why))

    def _let_go(self, why: str) -> None:
        if self._held_since is not None:
            held = self._clock.monotonic() - self._held_since
            self._held_seconds, self._held_since = self._held_seconds + held, None
            metrics.NODE_LOADS_HELD.inc(held)
            self._told.append(("loads go on", f"after {held:.1f} s: {why}"))

    def _rest(self) -> None:
        self._let_go("nothing is left to load")
        self._held_seconds, self._at_once, self._recent = 0.0, _FIRST, None
        self._busy.clear()


def percentile(windows: deque[tuple[float, dict[float, int]]]) -> float | None:
    """The upper bound of the bucket that the 99th percentile falls into, seconds; None for too few answers."""
    total: dict[float, int] = {}
    for _, counts in windows:
        for bound, count in counts.items():
            total[bound] = total.get(bound, 0) + count
    left = sum(total.values())
    if left < _ENOUGH:
        return None
    beyond = left * (1 - _PERCENTILE)
    for bound in sorted(total, reverse=True):
        left = total[bound]
        if left > beyond:
            return bound
        beyond -= left
    return None
