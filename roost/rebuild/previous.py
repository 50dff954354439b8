"""Which version answered before: what a rollback returns to. Where nobody knows, a rollback has to say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from roost.contracts.desired import PREVIOUS, DesiredModel
from roost.contracts.rollout import PREVIOUS_UNKNOWN, Phase, Rollout
from roost.ports.rebuilding import RebuiltRollout
from roost.rebuild.rollouts import Sources, knows_previous

_NEEDS: Final = frozenset({Phase.PROMOTING, Phase.LIVE, Phase.SETTLED, Phase.ROLLING_BACK, Phase.HALTED})


def with_previous(
    sources: Sources, own: Sequence[RebuiltRollout], entry: DesiredModel | None, stored: Sequence[int]
) -> list[RebuiltRollout]:
    """The rollouts of one name, each with the version before it. `stored` are the name's versions, ascending."""
    return [_one(sources, rebuilt, own, entry, stored) for rebuilt in own]


def _one(
    sources: Sources,
    rebuilt: RebuiltRollout,
    own: Sequence[RebuiltRollout],
    entry: DesiredModel | None,
    stored: Sequence[int],
) -> RebuiltRollout:
    row = rebuilt.rollout
    lines = sources.log.rollouts.get(row.id, [])
    # What answers needs it, too, wherever the log's end leaves it.
    needs = row.phase in _NEEDS or (entry is not None and entry.stable == row.version)
    if not needs or row.previous_version is not None or knows_previous(lines):
        return rebuilt
    previous = _by_desired_state(row, entry) or _by_history(rebuilt, own)
    if previous is None and all(version >= row.version for version in stored):
        return rebuilt
    known = {"previous_version": previous} if previous else {"facts": {**row.facts, PREVIOUS_UNKNOWN: True}}
    return replace(rebuilt, rollout=row.model_copy(update=known))


def _by_desired_state(row: Rollout, entry: DesiredModel | None) -> int | None:
    if entry is None:
        return None
    if entry.stable == row.version:
        return entry.labels.get(PREVIOUS)
    return entry.stable if row.phase is Phase.PROMOTING else None


def _by_history(rebuilt: RebuiltRollout, own: Sequence[RebuiltRollout]) -> int | None:
    """Who had become LIVE last, before this one was promoted, and had not been taken back by then."""
    since = _entered(rebuilt, Phase.PROMOTING) or rebuilt.history[0].at
    best: tuple[datetime, int] | None = None
    for other in own:
        live, back = _entered(other, Phase.LIVE), _entered(other, Phase.ROLLED_BACK)
        if other is rebuilt or live is None or live > since or (back is not None and back <= since):
            continue
        if best is None or live > best[0]:
            best = (live, other.rollout.version)
    return best[1] if best else None


def _entered(rebuilt: RebuiltRollout, phase: Phase) -> datetime | None:
    return next((line.at for line in reversed(rebuilt.history) if line.after is phase), None)
