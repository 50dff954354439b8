"""How far the newest rollout came on the way artifact, canary, approval, generation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deployer.console.why.answer import StepState
from deployer.console.why.evidence import Evidence
from roost.contracts.rollout import Phase, Rollout

#: The step at which a rollout in a phase stands. An end stands where it came from.
_STEP_OF = {
    Phase.RECEIVED: 0,
    Phase.STORED: 0,
    Phase.VETTED: 1,
    Phase.CANARY: 1,
    Phase.AWAITING_APPROVAL: 2,
    Phase.PROMOTING: 3,
    Phase.LIVE: 3,
    Phase.ROLLING_BACK: 3,
    Phase.SETTLED: 3,
}
#: What a pause holds.
BEFORE_CANARY = frozenset({Phase.RECEIVED, Phase.STORED, Phase.VETTED})
_STATE_OF = {
    Phase.RECEIVED: StepState.RUNNING,
    Phase.STORED: StepState.RUNNING,
    Phase.VETTED: StepState.RUNNING,
    Phase.CANARY: StepState.RUNNING,
    Phase.AWAITING_APPROVAL: StepState.WAITING,
    Phase.PROMOTING: StepState.RUNNING,
    Phase.LIVE: StepState.DONE,
    Phase.ROLLING_BACK: StepState.RUNNING,
    Phase.SETTLED: StepState.DONE,
    Phase.REJECTED: StepState.FAILED,
    Phase.SUPERSEDED: StepState.SKIPPED,
    Phase.CANCELLED: StepState.FAILED,
    Phase.ROLLED_BACK: StepState.FAILED,
    Phase.HALTED: StepState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How far the newest rollout came: when it entered each phase, and at which step it stands."""

    evidence: Evidence
    rollout: Rollout | None
    reached: dict[Phase, datetime]
    step: int
    state: StepState

    @classmethod
    def of(cls, evidence: Evidence) -> Way:
        """Read it off the newest rollout and its history."""
        rollout = evidence.rollout
        if rollout is None:
            return cls(evidence=evidence, rollout=None, reached={}, step=-1, state=StepState.WAITING)
        reached = {line.after: line.at for line in evidence.history}
        step = _STEP_OF.get(rollout.phase)
        if step is None:
            # ROLLED_BACK comes from ROLLING_BACK, REJECTED from wherever it failed: the last known step counts.
            known = [_STEP_OF[line.after] for line in evidence.history if line.after in _STEP_OF]
            step = known[-1] if known else 0
        state = _STATE_OF[rollout.phase]
        if evidence.pauses and rollout.phase in BEFORE_CANARY:
            state = StepState.WAITING
        return cls(evidence=evidence, rollout=rollout, reached=reached, step=step, state=state)

    def at(self, phase: Phase) -> datetime | None:
        """When it entered that phase last."""
        return self.reached.get(phase)

    def between(self, first: Phase, last: Phase) -> float | None:
        """Seconds from one phase to another, where it saw both."""
        start, end = self.at(first), self.at(last)
        return (end - start).total_seconds() if start and end else None

    def state_at(self, step: int) -> StepState:
        """State of a step: done before the rollout's own, not reached after it."""
        if step < self.step:
            return StepState.DONE
        if step == self.step:
            return self.state
        ended = self.rollout is not None and (self.rollout.terminal or self.rollout.phase is Phase.HALTED)
        return StepState.SKIPPED if ended else StepState.WAITING
