"""A customer who left: open rollouts end, names leave the pool, and an event says when no node serves them any more.

The row's stage is the signup consumer's: it says GONE once the retirement run has deleted what policy wants deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from deployer.domain.transitions import Step
from deployer.rollout.parts import Parts
from roost.contracts.rollout import TERMINAL, Phase, Rollout
from roost.ports.ledger import RolloutQuery

_OPEN: Final = frozenset(Phase) - TERMINAL
#: What nodes may hold already is taken back; what they do not is cancelled.
_ON_NODES: Final = frozenset({Phase.PROMOTING, Phase.LIVE})
_REASON: Final = "The customer left."


class Retirement:
    """Ends what a leaving customer still has under way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        #: Offboardings that were told of. After a restart they are told again, under the same event id.
        self._told: set[str] = set()

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
        """Tell of each customer whose rollouts have all ended and whom no node serves. Returns whether none is left.

        `behind` are nodes that have not settled `generation`, the first without the customers' names.
        """
        left = False
        for customer in sorted(leaving):
            row = self._parts.ledger.onboarding(customer)
            if row is None or row.event_id in self._told:
                continue
            if behind or self._open(customer):
                left = True
                continue
            reason = f"No node serves {customer} any more."
            event = self._parts.operation(
                "customer.retired",
                reason,
                key=f"{customer}/{row.event_id}",
                customer=customer,
                facts={"generation": generation},
            )
            self._parts.ledger.add_events([event])
            self._told.add(row.event_id)
        return not left

    def _open(self, customer: str) -> list[Rollout]:
        return list(self._parts.ledger.rollouts(RolloutQuery(customer=customer, phases=_OPEN, limit=1000)))
