"""The restart of a pool whose pods a cluster keeps: its workload is rolled, and watched until it is done or stuck."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from roost.contracts.errors import ClusterUnavailable
from roost.ports.clock import Clock
from roost.ports.serving import PoolWorkload

_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One roll. `pod_seconds` is how long one pod may take; `hold` keeps the lease while the roll is watched."""

    workload: PoolWorkload
    pool: str
    clock: Clock
    pod_seconds: float
    hold: Callable[[], None]

    def run(self, order: str, stop: threading.Event) -> str | None:
        """Roll, and wait. None once every pod is new and ready, else one clause that says what is in the way.

        The new pods come first, so what is in the way costs no capacity: the old ones go on serving.

        Raises:
            ClusterRefused: the API server would not have it.
            ClusterUnavailable: it was not reached at the start.
        """
        self.workload.restart(self.pool, order=order)
        until, last = self.clock.monotonic() + self.pod_seconds, -1
        trouble = "nothing was seen of it"
        while self.clock.monotonic() < until:
            try:
                status = self.workload.status(self.pool)
            except ClusterUnavailable as error:
                trouble = str(error)
            else:
                if status.done:
                    return None
                trouble = f"{status.updated} of {status.desired} pods are new, {status.ready} ready"
                if status.stuck is not None:
                    return f"{trouble}: {status.stuck}"
                if status.updated > last:
                    # Each pod has its own time.
                    until, last = self.clock.monotonic() + self.pod_seconds, status.updated
            if self.clock.wait(_LOOK_SECONDS, stop):
                return f"{trouble}, and the restart was told to stop; the cluster goes on with it"
            self.hold()
        return f"{trouble} after {self.pod_seconds:g} s"
