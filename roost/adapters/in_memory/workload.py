"""The pods of pools, in memory: a roll goes on when it is told to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from roost.contracts.errors import ClusterRefused
from roost.ports.serving import WorkloadStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roll:
    order: str
    status: WorkloadStatus


class InMemoryWorkload:
    """A `PoolWorkload` of the pools that are named at its making, each with so many pods."""

    def __init__(self, pods: dict[str, int]) -> None:
        """Every pod is ready."""
        self._rolls = {
            pool: _Roll(order="", status=WorkloadStatus(desired=count, updated=count, ready=count, done=True))
            for pool, count in pods.items()
        }
        #: A roll is over at once, as where pods start fast.
        self.prompt = False
        #: Rolls that were begun: pool and order.
        self.begun: list[tuple[str, str]] = []

    def restart(self, pool: str, *, order: str) -> None:
        """Begin a roll."""
        roll = self._of(pool)
        if roll.order == order:
            return
        self.begun.append((pool, order))
        status = replace(roll.status, updated=0, done=roll.status.desired == 0, stuck=None)
        self._rolls[pool] = _Roll(order=order, status=status)
        if self.prompt:
            self.finish(pool)

    def status(self, pool: str) -> WorkloadStatus:
        """How far the roll is."""
        return self._of(pool).status

    def finish(self, pool: str) -> None:
        """All pods of the roll are there and ready."""
        count = self._of(pool).status.desired
        status = WorkloadStatus(desired=count, updated=count, ready=count, done=True)
        self._rolls[pool] = replace(self._rolls[pool], status=status)

    def block(self, pool: str, reason: str) -> None:
        """The first new pod never gets ready."""
        status = replace(self._of(pool).status, updated=1, done=False, stuck=reason)
        self._rolls[pool] = replace(self._rolls[pool], status=status)

    def _of(self, pool: str) -> _Roll:
        if pool not in self._rolls:
            raise ClusterRefused(f"there is no workload of pool {pool}")
        return self._rolls[pool]
