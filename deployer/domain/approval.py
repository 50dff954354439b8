"""What follows a canary: from verdict, policy and freeze to the next phase."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from roost.contracts.policy import Approval
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome, Verdict

#: `approved_by` where no person was needed.
BY_POLICY: Final = "policy"
#: Scope of a freeze that holds everything.
FLEET: Final = "fleet"
#: A pause is kept as a freeze whose scope begins so: it holds steps before the canary, not promotions.
_PAUSE: Final = "paused:"


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


def pause_scope(scope: str) -> str:
    """Scope of the freeze that stands for a pause of a customer, a rollout, or ``fleet``."""
    return _PAUSE + scope


def holding(scopes: Iterable[tuple[str, str]], customer: str) -> str | None:
    """Reason of the freeze that holds that customer's promotions, if any. `scopes`: (scope, reason) pairs."""
    return next((reason for scope, reason in scopes if scope in {FLEET, customer}), None)


def pausing(scopes: Iterable[tuple[str, str]], customer: str, rollout_id: str) -> str | None:
    """Reason of the pause that holds that rollout's next step, if any."""
    wanted = {pause_scope(one) for one in (FLEET, customer, rollout_id)}
    return next((reason for scope, reason in scopes if scope in wanted), None)
