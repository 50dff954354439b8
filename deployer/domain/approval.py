"""What follows a canary: from verdict, policy and freeze to the next phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roost.contracts.policy import Approval
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome, Verdict

#: `approved_by` where no person was needed.
BY_POLICY: Final = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The phase that follows, why, and who approved it, if anybody has."""

    phase: Phase
    reason: str
    approved_by: str | None = None


def after_canary(verdict: Verdict, *, approval: Approval, first_model: bool, frozen: str | None) -> Decision:
    """What follows a verdict. `frozen` is the reason of a freeze that stands, `first_model` that nothing is live.

    An inconclusive verdict always asks a person, whatever the policy says: could-not-measure is never PASS.
    """
    if verdict.outcome is Outcome.FAIL:
        return Decision(phase=Phase.REJECTED, reason=verdict.sentence)
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return Decision(phase=Phase.AWAITING_APPROVAL, reason=f"The canary was inconclusive: {verdict.sentence}")
    if approval is Approval.ALWAYS:
        return Decision(phase=Phase.AWAITING_APPROVAL, reason="The policy asks for an approval each time.")
    if approval is Approval.FIRST_MODEL and first_model:
        return Decision(phase=Phase.AWAITING_APPROVAL, reason="The policy asks for an approval of a first model.")
    if frozen is not None:
        return Decision(
            phase=Phase.AWAITING_APPROVAL,
            reason=f"{verdict.sentence} Waits for a thaw: {frozen}",
            approved_by=BY_POLICY,
        )
    return Decision(phase=Phase.PROMOTING, reason=verdict.sentence, approved_by=BY_POLICY)
