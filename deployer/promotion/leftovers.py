"""Versions that are loaded beside what answers and that no rollout under way is responsible for.

A bake that ended early, for a newer candidate, leaves the previous version loaded: a candidate that nobody has measured
yet must not cost the live version its instant rollback. It goes when the bake would have ended, or when a promotion
needs the room.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deployer.domain.planner import Settle
from deployer.rollout.parts import Parts
from roost.contracts.desired import DesiredModel
from roost.contracts.ids import split_served_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidying:
    """What can go now, and when the next one can."""

    changes: tuple[Settle, ...]
    next_at: datetime | None


NOTHING: Final = Tidying(changes=(), next_at=None)


class Leftovers:
    """Finds them. One thread at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: (served name, stable version) to when its bake would have ended.
        self._until: dict[tuple[str, int], datetime] = {}

    def look(self, entries: Iterable[DesiredModel], held: Collection[str]) -> Tidying:
        """Look through a pool. `held` are names that a rollout under way is responsible for."""
        now, changes, later = self._parts.clock.now(), [], []
        for entry in entries:
            if len(entry.versions) == 1 or entry.name in held or entry.stable is None:
                continue
            until = self._known(entry.name, entry.stable)
            if until is None:
                continue
            if until <= now:
                changes.append(Settle(name=entry.name))
            else:
                later.append(until)
        return Tidying(changes=tuple(changes), next_at=min(later, default=None))

    def _known(self, name: str, stable: int) -> datetime | None:
        """When the previous version may go; None where the ledger knows nothing of what answers."""
        key = (name, stable)
        if key not in self._until:
            live = self._parts.ledger.live(*split_served_name(name))
            if live is None or live.version != stable:
                return None
            self._until[key] = live.deadline or live.entered_at
        return self._until[key]
