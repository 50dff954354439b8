"""What a pool has to do: the rollouts that are in its hands, and the customers that leave it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deployer.domain import supersede
from deployer.rollout.parts import Ledger
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import OnboardingStage, RolloutQuery

#: Responsible for what is loaded under their names.
_HOLDING: Final = frozenset({Phase.PROMOTING, Phase.ROLLING_BACK, Phase.LIVE, Phase.HALTED})
_PHASES: Final = _HOLDING | {Phase.VETTED}
#: More than any pool holds at once; a query without a limit would be one line of SQL away from an outage.
_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One look at the ledger."""

    promoting: tuple[Rollout, ...]
    rolling_back: tuple[Rollout, ...]
    #: LIVE rollouts whose bake is over.
    baked: tuple[Rollout, ...]
    #: LIVE rollouts whose bake ends before its time, each with the reason.
    outdone: tuple[tuple[Rollout, str], ...]
    #: Served names that a rollout under way is responsible for.
    held: frozenset[str]
    leaving: frozenset[str]
    #: When the next bake is over.
    next_bake: datetime | None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.promoting or self.rolling_back or self.baked or self.outdone or self.leaving)

    @property
    def ids(self) -> set[str]:
        """Ids of all rollouts in it."""
        return {one.id for one in (*self.promoting, *self.rolling_back, *self.baked)}


def gather(ledger: Ledger, pool: str, now: datetime) -> Work:
    """All that the pool has to do now. Raises `DatabaseUnavailable`."""
    rows = ledger.rollouts(RolloutQuery(pool=pool, phases=_PHASES, limit=_LIMIT))
    vetted: dict[str, list[Rollout]] = {}
    for row in rows:
        if row.phase is Phase.VETTED:
            vetted.setdefault(row.name, []).append(row)
    live = [row for row in rows if row.phase is Phase.LIVE]
    baked = tuple(row for row in live if row.deadline is None or now >= row.deadline)
    baking = [row for row in live if row.deadline is not None and now < row.deadline]
    outdone = [(row, why) for row in baking if (why := supersede.ends_bake(row, vetted.get(row.name, [])))]
    return Work(
        promoting=tuple(row for row in rows if row.phase is Phase.PROMOTING),
        rolling_back=tuple(row for row in rows if row.phase is Phase.ROLLING_BACK),
        baked=baked,
        outdone=tuple(outdone),
        held=frozenset(row.name for row in rows if row.phase in _HOLDING),
        leaving=frozenset(row.customer for row in ledger.customers(OnboardingStage.LEAVING)),
        next_bake=min((row.deadline for row in baking if row.deadline), default=None),
    )
