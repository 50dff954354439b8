"""Customers, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from roost.adapters.in_memory.ledger_state import LedgerState
from roost.contracts.events import CustomerSignedUp
from roost.contracts.rollout import ANSWERED
from roost.ports.ledger import Onboarding, OnboardingStage, due_order

_UNDER_WAY = frozenset({OnboardingStage.SIGNED_UP, OnboardingStage.TRAINING, OnboardingStage.TRAINED})
_DUE = frozenset({OnboardingStage.SIGNED_UP, OnboardingStage.TRAINING, OnboardingStage.LEAVING})
_FOLLOWS = frozenset(
    {OnboardingStage.TRAINING, OnboardingStage.TRAINED, OnboardingStage.FAILED, OnboardingStage.REFUSED}
)


class InMemoryOnboarding:
    """Implements `OnboardingLedger`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def sign_up(
        self, event_id: str, payload: CustomerSignedUp, *, at: datetime, run_id: str, traceparent: str | None = None
    ) -> bool:
        """Insert or revive the row."""
        state = self._state
        with state.lock:
            if not state.first_time("customers", event_id):
                return False
            row = state.onboardings.get(payload.customer)
            if row is not None and row.stage in _UNDER_WAY and row.model == payload.model:
                return False
            state.onboardings[payload.customer] = Onboarding(
                customer=payload.customer,
                model=payload.model,
                name=payload.name,
                stage=OnboardingStage.SIGNED_UP,
                event_id=event_id,
                signed_up_at=at,
                airflow_run_id=run_id,
                left_at=None if row is None else row.left_at,
                traceparent=traceparent,
            )
            state.onboarding_leases.pop(payload.customer, None)
            state.wake("onboarding")
            return True

    def offboard(self, event_id: str, customer: str, reason: str, *, at: datetime) -> bool:
        """Mark the customer LEAVING."""
        state = self._state
        with state.lock:
            if not state.first_time("customers", event_id):
                return False
            row = state.onboardings.get(customer)
            if row is None or row.stage in {OnboardingStage.LEAVING, OnboardingStage.GONE}:
                return False
            state.onboardings[customer] = replace(
                row,
                stage=OnboardingStage.LEAVING,
                event_id=event_id,
                reason=reason,
                left_at=at,
                attempts=0,
                next_attempt_at=at,
                error=None,
            )
            state.onboarding_leases.pop(customer, None)
            state.wake("onboarding")
            return True

    def onboarding(self, customer: str) -> Onboarding | None:
        """The customer's row."""
        with self._state.lock:
            return self._state.onboardings.get(customer)

    def customers(self, stage: OnboardingStage | None = None) -> Sequence[Onboarding]:
        """All rows, or those of one stage, by customer."""
        with self._state.lock:
            rows = sorted(self._state.onboardings.values(), key=lambda row: row.customer)
            return [row for row in rows if stage is None or row.stage is stage]

    def due_onboardings(self, *, now: datetime, limit: int, lease_seconds: float) -> Sequence[Onboarding]:
        """Rows that need a run, leased."""
        state = self._state
        with state.lock:
            due = [row for row in state.onboardings.values() if self._is_due(row, now)]
            taken = sorted(due, key=due_order)[:limit]
            for row in taken:
                state.onboarding_leases[row.customer] = now + timedelta(seconds=lease_seconds)
            return taken

    def oldest_unanswered(self) -> datetime | None:
        """The longest waiting signup."""
        state = self._state
        with state.lock:
            waiting = (row for row in state.onboardings.values() if row.stage in _UNDER_WAY)
            return min((row.signed_up_at for row in waiting if not self._is_answered(row)), default=None)

    def _is_answered(self, row: Onboarding) -> bool:
        own = (slot.rollout for slot in self._state.rollouts.values() if slot.rollout.customer == row.customer)
        return any(one.phase in ANSWERED and one.received_at >= row.signed_up_at for one in own)

    def set_onboarding(self, row: Onboarding) -> None:
        """Write what became of it, and drop the lease."""
        state = self._state
        with state.lock:
            state.onboarding_leases.pop(row.customer, None)
            held = state.onboardings.get(row.customer)
            if held is not None and (held.event_id, held.airflow_run_id) == (row.event_id, row.airflow_run_id):
                state.failed_at.pop(row.customer, None)
                if row.stage is OnboardingStage.FAILED:
                    state.failed_at[row.customer] = state.clock.now()
                state.onboardings[row.customer] = replace(
                    held,
                    stage=row.stage,
                    attempts=row.attempts,
                    next_attempt_at=row.next_attempt_at,
                    error=row.error,
                )

    def follow_run(self, customer: str, model: str, run_id: str) -> bool:
        """The row is about this run from now on."""
        state = self._state
        with state.lock:
            row = state.onboardings.get(customer)
            if row is None or row.model != model or row.stage not in _FOLLOWS:
                return False
            state.onboardings[customer] = replace(
                row,
                stage=OnboardingStage.TRAINING,
                airflow_run_id=run_id,
                attempts=0,
                next_attempt_at=None,
                error=None,
            )
            state.onboarding_leases.pop(customer, None)
            state.wake("onboarding")
            return True

    def _is_due(self, row: Onboarding, now: datetime) -> bool:
        lease = self._state.onboarding_leases.get(row.customer)
        free = lease is None or lease <= now
        return row.stage in _DUE and free and (row.next_attempt_at is None or row.next_attempt_at <= now)
