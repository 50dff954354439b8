"""A customer who left: open rollouts end, names leave the pool, and the row says GONE once no node serves them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from deployer.domain.transitions import Step
from deployer.rollout.parts import Parts
from roost.contracts.rollout import TERMINAL, Phase, Rollout
from roost.ports.ledger import OnboardingStage, RolloutQuery

_OPEN: Final = frozenset(Phase) - TERMINAL
#: What nodes may hold already is taken back; what they do not is cancelled.
_ON_NODES: Final = frozenset({Phase.PROMOTING, Phase.LIVE})
_REASON: Final = "The customer left."


class Retirement:
    """Ends what a leaving customer still has under way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def steps(self, leaving: Iterable[str]) -> list[Step]:
        """One step for each open rollout that is not on its way back already."""
        found = []
        for customer in sorted(leaving):
            for row in self._open(customer):
                if row.phase is Phase.ROLLING_BACK:
                    continue
                after = Phase.ROLLING_BACK if row.phase in _ON_NODES else Phase.CANCELLED
                found.append(self._parts.move(row, after, self._parts.cause(row, _REASON)))
        return found

    def finish(self, leaving: Iterable[str], *, generation: int, behind: Collection[str]) -> bool:
        """Tell of each customer whose rollouts have all ended and whom no node serves. Returns whether any is gone.

        `behind` are nodes that have not settled `generation`, the first without the customers' names.
        """
        ledger, gone = self._parts.ledger, False
        for customer in sorted(leaving):
            row = ledger.onboarding(customer)
            if behind or row is None or self._open(customer):
                continue
            facts = {"generation": generation}
            reason = f"No node serves {customer} any more."
            event = self._parts.operation(
                "customer.retired", reason, key=f"{customer}/{row.event_id}", customer=customer, facts=facts
            )
            ledger.add_events([event])
            ledger.set_onboarding(replace(row, stage=OnboardingStage.GONE, next_attempt_at=None, error=None))
            gone = True
        return gone

    def _open(self, customer: str) -> list[Rollout]:
        return list(self._parts.ledger.rollouts(RolloutQuery(customer=customer, phases=_OPEN, limit=1000)))
