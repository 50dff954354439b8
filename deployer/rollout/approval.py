"""AWAITING_APPROVAL: until a person decides, a freeze ends, a newer one comes, or nobody has answered in time."""

from __future__ import annotations

from deployer.domain import scopes, supersede
from deployer.rollout.outcome import Later, Moved, Outcome
from deployer.rollout.parts import Parts
from roost.contracts.rollout import Phase, Rollout

_LOOK_SECONDS = 5.0


class ApprovalStep:
    """The handler of AWAITING_APPROVAL."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def advance(self, rollout: Rollout) -> Outcome:
        """PROMOTING after a thaw, SUPERSEDED by a newer live one, CANCELLED past the deadline; else later."""
        parts = self._parts
        live = parts.ledger.live(rollout.customer, rollout.model)
        older = supersede.by_live(rollout, live)
        if older is not None:
            return Moved.one(parts.move(rollout, Phase.SUPERSEDED, parts.cause(rollout, older)))
        frozen = parts.held(scopes.freezing(rollout.customer))
        if rollout.approved_by is not None and frozen is None:
            previous = live.version if live else None
            cause = parts.cause(rollout, "The freeze is over; it had passed before.")
            return Moved.one(parts.move(rollout, Phase.PROMOTING, cause, previous_version=previous))
        # What waits for a thaw alone keeps: the freeze may outlast a weekend, and nobody is asked.
        asked = rollout.approved_by is None
        if asked and rollout.deadline is not None and parts.clock.now() >= rollout.deadline:
            cause = parts.cause(rollout, "Nobody approved it before its deadline.")
            return Moved.one(parts.move(rollout, Phase.CANCELLED, cause))
        return Later(seconds=_LOOK_SECONDS, reason="Waits for a person.")
