"""Which rollouts a newer one makes pointless. Newer is what was trained later, never what arrived later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from roost.contracts.rollout import EXCLUSIVE, Phase, Rollout

#: Waits in these, before or after its canary, without answering any request.
_WAITING: Final = frozenset({Phase.VETTED, Phase.AWAITING_APPROVAL})


def by_live(rollout: Rollout, live: Rollout | None) -> str | None:
    """Why `rollout` must not replace what is live; None where it may."""
    if live is None or live.id == rollout.id or rollout.trained_at >= live.trained_at:
        return None
    return (
        f"Version {live.version} is live and was trained later ({live.trained_at.isoformat()}) "
        f"than this one ({rollout.trained_at.isoformat()})."
    )


def by_waiting(rollout: Rollout, others: Iterable[Rollout]) -> str | None:
    """Why a waiting `rollout` is pointless now: a newer one of its name is vetted. None where none is."""
    if rollout.phase not in _WAITING:
        return None
    newer = [one for one in others if one.phase is Phase.VETTED and _newer(one, rollout)]
    if not newer:
        return None
    first = max(newer, key=lambda one: (one.trained_at, one.id))
    return f"Rollout {first.id}, trained later ({first.trained_at.isoformat()}), came first."


def ends_bake(rollout: Rollout, others: Iterable[Rollout]) -> str | None:
    """Why the bake of a LIVE `rollout` ends early: a newer one waits for its turn. None where none does.

    One rollout per name at a time lies between CANARY and LIVE. The newer one brings its own bake, with this one as
    the version to return to.
    """
    newer = next((one for one in others if one.phase is Phase.VETTED and _newer(one, rollout)), None)
    return None if newer is None else f"The bake ends early: rollout {newer.id}, trained later, waits for its turn."


def holder(rollout: Rollout, others: Iterable[Rollout]) -> Rollout | None:
    """The rollout that holds the name's one place between CANARY and LIVE, if another one does."""
    return next((one for one in others if one.id != rollout.id and one.phase in EXCLUSIVE), None)


def _newer(one: Rollout, other: Rollout) -> bool:
    return one.id != other.id and (one.trained_at, one.id) > (other.trained_at, other.id)
