"""The controller: takes a rollout one step further. Phases of a whole pool are `deployer.promotion`'s."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from deployer.domain import scopes
from deployer.rollout.approval import ApprovalStep
from deployer.rollout.canary import CanaryGate
from deployer.rollout.outcome import Later, Moved, Outcome
from deployer.rollout.parts import Parts
from deployer.rollout.store import StoreStep
from deployer.rollout.vet import VetStep
from roost.contracts.errors import Conflict
from roost.contracts.rollout import Phase, Rollout
from roost.telemetry import metrics, tracing

#: Phases that workers take; the rest are a pool's, or ends.
WORKED: Final = frozenset({Phase.RECEIVED, Phase.STORED, Phase.VETTED, Phase.AWAITING_APPROVAL})
#: A pause is looked at so often; a resume wakes the deployer anyhow.
_PAUSED_SECONDS = 5.0
_CONFLICT_SECONDS = 0.2


class Handler(Protocol):
    """One phase's step: reads, acts idempotently, and says what follows. Never writes the row itself."""

    def advance(self, rollout: Rollout) -> Outcome:
        """Raises `Retryable` where a dependency does not answer."""


class Controller:
    """One idempotent step of one rollout at a time. Safe for threads; a lost race is a `Later`."""

    def __init__(self, parts: Parts, copiers: ThreadPoolExecutor) -> None:
        """`copiers` copy and read the objects of artifacts."""
        self._parts = parts
        self._handlers: Mapping[Phase, Handler] = {
            Phase.RECEIVED: StoreStep(parts, copiers),
            Phase.STORED: VetStep(parts, copiers),
            Phase.VETTED: CanaryGate(parts),
            Phase.AWAITING_APPROVAL: ApprovalStep(parts),
        }

    def advance(self, rollout_id: str) -> Outcome:
        """Do the step of the phase that the rollout is in now, and write what follows.

        Raises `Retryable` where a dependency does not answer, `NotFound` for an unknown rollout.
        """
        return self.step(self._parts.ledger.rollout(rollout_id))

    def step(self, rollout: Rollout) -> Outcome:
        """The same with the row at hand."""
        handler = self._handlers.get(rollout.phase)
        if handler is None:
            return Later(seconds=_PAUSED_SECONDS, reason=f"{rollout.phase} is no worker's phase.")
        paused = self._paused(rollout)
        if paused is not None:
            return Later(seconds=_PAUSED_SECONDS, reason=f"Paused: {paused}")
        try:
            with tracing.bound(rollout.place), metrics.STEP_SECONDS.labels(phase=rollout.phase).time():
                outcome = handler.advance(rollout)
            if isinstance(outcome, Moved):
                self._parts.write(outcome.steps)
        except Conflict as error:
            # Somebody else took this very step, or the name's place: what they wrote decides.
            return Later(seconds=_CONFLICT_SECONDS, reason=str(error))
        return outcome

    def _paused(self, rollout: Rollout) -> str | None:
        if rollout.phase is Phase.AWAITING_APPROVAL:
            return None
        return self._parts.held(scopes.pausing(rollout.customer, rollout.id))
