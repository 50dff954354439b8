"""A rollout and its history of the same moment, though they are two questions."""

from __future__ import annotations

from collections.abc import Sequence

from roost.contracts.rollout import Rollout, Transition
from roost.ports.ledger import RolloutLedger


def rollout_and_history(ledger: RolloutLedger, rollout_id: str) -> tuple[Rollout, Sequence[Transition]]:
    """The row, and the lines that led to it: the last line's phase is the row's.

    A transition may be written between the two questions. A history that says LIVE beside a row without what LIVE
    brings, such as the skew, would look like a fault of the rollout. A rollout has a dozen transitions in its whole
    life, so asking again ends.

    Raises:
        NotFound: there is no such rollout.
    """
    while True:
        history = ledger.history(rollout_id)
        rollout = ledger.rollout(rollout_id)
        if history[-1].after is rollout.phase:
            return rollout, history
