"""What a pool has to do: the rollouts that are in its hands, and the customers that leave it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deployer.domain import supersede
from deployer.rollout.parts import Ledger
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import OnboardingStage, RolloutQuery

_PHASES: Final = frozenset({Phase.PROMOTING, Phase.ROLLING_BACK, Phase.LIVE, Phase.VETTED})
#: More than any pool holds at once; a query without a limit would be one line of SQL away from an outage.
_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One look at the ledger."""

    promoting: tuple[Rollout, ...]
    rolling_back: tuple[Rollout, ...]
    #: LIVE rollouts whose bake ends now, each with the reason.
    baked: tuple[tuple[Rollout, str], ...]
    leaving: frozenset[str]
    #: When the next bake is over.
    next_bake: datetime | None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.promoting or self.rolling_back or self.baked or self.leaving)

    @property
    def ids(self) -> set[str]:
        """Ids of all rollouts in it."""
        return {one.id for one in (*self.promoting, *self.rolling_back, *(rollout for rollout, _ in self.baked))}


def gather(ledger: Ledger, pool: str, now: datetime) -> Work:
    """All that the pool has to do now. Raises `DatabaseUnavailable`."""
    rows = ledger.rollouts(RolloutQuery(pool=pool, phases=_PHASES, limit=_LIMIT))
    vetted: dict[str, list[Rollout]] = {}
    for row in rows:
        if row.phase is Phase.VETTED:
            vetted.setdefault(row.name, []).append(row)
    live = [row for row in rows if row.phase is Phase.LIVE]
    baked = [(row, why) for row in live if (why := _bake_over(row, vetted.get(row.name, []), now))]
    ending = {row.id for row, _ in baked}
    bakes = [row.deadline for row in live if row.deadline and row.id not in ending]
    return Work(
        promoting=tuple(row for row in rows if row.phase is Phase.PROMOTING),
        rolling_back=tuple(row for row in rows if row.phase is Phase.ROLLING_BACK),
        baked=tuple(baked),
        leaving=frozenset(row.customer for row in ledger.customers(OnboardingStage.LEAVING)),
        next_bake=min(bakes, default=None),
    )


def _bake_over(rollout: Rollout, vetted: list[Rollout], now: datetime) -> str | None:
    if rollout.deadline is None or now >= rollout.deadline:
        return "The bake is over without a regression."
    return supersede.ends_bake(rollout, vetted)
