"""What the restarts of a pool came to, as their deploy events say.

A restart is a process of minutes, once a day: nobody scrapes it. The deployer, which stays, tells of it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from roost.contracts.events import OperationReported
from roost.contracts.policy import RestartPolicy, RestartWhen
from roost.ports.clock import Clock
from roost.ports.ledger import Outbox, OutboxRow
from roost.telemetry import metrics

#: Newest events that are looked through at the start, some megabytes: those of a day with a thousand models.
#: Where there are more, a deployer that starts anew learns from the next restart.
_AT_FIRST: Final = 10_000
_FINISHED: Final = "restart.finished"
_REFUSED: Final = "restart.refused"


class RestartRecord:
    """Follows the events. One thread at a time."""

    def __init__(self, ledger: Outbox, clock: Clock, pools: Sequence[str], policy: Callable[[], RestartPolicy]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pools = pools
        self._policy = policy
        self._after = 0
        #: Where no restart is known, the time runs from here.
        self._finished = dict.fromkeys(pools, clock.now())
        self._refused = dict.fromkeys(pools, 0)

    def step(self) -> None:
        """Read what came, and tell. Raises `DatabaseUnavailable`."""
        for row in self._ledger.recent_events(limit=_AT_FIRST, after=self._after):
            self._after = row.sequence
            self._note(row)
        always = self._policy().when is RestartWhen.ALWAYS
        for pool in self._pools:
            metrics.RESTARTS_REFUSED.labels(pool=pool).set(self._refused[pool])
            # Where only those are restarted that need it, a restart long ago is nothing to worry about.
            seconds = self._seconds(pool) if always else 0.0
            metrics.RESTART_AGE.labels(pool=pool).set(seconds)

    def _note(self, row: OutboxRow) -> None:
        told, at = row.event.data, row.event.time
        if not isinstance(told, OperationReported) or told.pool not in self._refused:
            return
        if told.what == _FINISHED:
            self._finished[told.pool], self._refused[told.pool] = at, 0
        elif told.what == _REFUSED:
            self._refused[told.pool] += 1

    def _seconds(self, pool: str) -> float:
        finished: datetime = self._finished[pool]
        return max(0.0, (self._clock.now() - finished).total_seconds())
