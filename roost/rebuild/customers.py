"""Customers: who came and who left, replayed as the consumer takes it in; then what became of their training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from consumers import signups
from consumers.loop import identity
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.events import OperationReported
from roost.contracts.ids import DEFAULT_MODEL
from roost.contracts.rollout import Rollout
from roost.ports.ledger import Onboarding, OnboardingStage
from roost.ports.rebuilding import TakenIn
from roost.rebuild.log import Heard, Log

_FAILED = "customer.training.failed"
_REFUSED = "customer.onboarding.refused"
_GONE = "customer.gone"
#: What a row names as its event where the log does not reach back to one.
REBUILT = "rebuilt"


def customers(log: Log, rollouts: Sequence[Rollout], served: Iterable[str], now: datetime) -> list[Onboarding]:
    """A row of each customer who is known of: by the log, or by what they have."""
    told = {heard.event.id: data for heard, data in log.operations()}
    # A run that was cleared may have failed more than once: the newest counts.
    told |= {f"{_FAILED} {data.facts.get('run_id')}": data for _, data in log.operations() if data.what == _FAILED}
    by_customer: dict[str, list[Rollout]] = {}
    for row in rollouts:
        by_customer.setdefault(row.customer, []).append(row)
    rows = {row.customer: _stood(row, by_customer.get(row.customer, []), told) for row in replayed(log.customers)}
    for name in served:
        customer, _, model = name.partition(".")
        if customer not in rows or (model == DEFAULT_MODEL and rows[customer].event_id == f"{REBUILT} {customer}"):
            rows[customer] = _by_what_they_have(customer, model, by_customer.get(customer, []), now)
    return [rows[customer] for customer in sorted(rows)]


def replayed(heard: Sequence[Heard]) -> Sequence[Onboarding]:
    """Rows as the signup consumer's own handler leaves them, each event at the time when the broker took it."""
    if not heard:
        return ()
    clock = ManualClock(min(one.at for one in heard))
    ledger = InMemoryLedger(clock)
    handle = signups.handler(ledger, clock)
    for one in heard:
        clock.advance(max(0.0, (one.at - clock.now()) / timedelta(seconds=1)))
        handle(one.event)
    return ledger.customers()


def inbox(kind: str, heard: Sequence[Heard]) -> list[TakenIn]:
    """The events, as handled: wherever the consumers' offsets stand, none of them is handled again."""
    return [TakenIn(kind=kind, event_id=identity(one.event), at=one.at) for one in heard]


def _stood(row: Onboarding, rollouts: Sequence[Rollout], told: Mapping[str, OperationReported]) -> Onboarding:
    """Where the customer stands by what is known since their event."""
    if row.stage is OnboardingStage.LEAVING:
        gone = signups.run_id(_GONE, row.customer, row.event_id) in told
        return replace(row, stage=OnboardingStage.GONE, next_attempt_at=None) if gone else row
    if row.stage is not OnboardingStage.SIGNED_UP:
        return row
    if any(one.model == row.model and one.received_at >= row.signed_up_at for one in rollouts):
        return replace(row, stage=OnboardingStage.TRAINED)
    failed = told.get(f"{_FAILED} {row.airflow_run_id}")
    if failed is not None:
        return replace(row, stage=OnboardingStage.FAILED, error=failed.reason)
    refused = told.get(signups.run_id(_REFUSED, row.customer, row.event_id))
    if refused is not None:
        return replace(row, stage=OnboardingStage.REFUSED, error=refused.reason)
    # Its run has an id that follows from the event: Airflow says what became of it, or starts it now.
    return row


def _by_what_they_have(customer: str, model: str, rollouts: Sequence[Rollout], now: datetime) -> Onboarding:
    own = [one for one in rollouts if one.model == model]
    first = min(own, key=lambda one: one.received_at, default=None)
    return Onboarding(
        customer=customer,
        model=model,
        name="",
        stage=OnboardingStage.TRAINED,
        event_id=f"{REBUILT} {customer}",
        signed_up_at=first.received_at if first else now,
        airflow_run_id=first.run_id if first else REBUILT,
    )
