"""From onboarding rows to Airflow runs: what is slow, and so not done between poll and commit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from consumers.signups import run_id
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict, Permanent, Retryable
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.ports.clock import Clock
from roost.ports.ledger import Onboarding, OnboardingLedger, OnboardingStage, Outbox, Wakeups
from roost.ports.workflow import Workflow
from roost.telemetry import metrics

log = logging.getLogger(__name__)

TRAIN_DAG: Final = "train_customer_model"
RETIRE_DAG: Final = "retire_customer_models"
#: Longer than a POST usually takes. If one takes longer, a second one finds its run there.
_LEASE_SECONDS: Final = 45.0
_LONGEST_BACK_OFF: Final = 60.0
#: How often a retirement that runs is looked at.
_LOOK_AGAIN: Final = 5.0
_WAIT_SECONDS: Final = 2.0


class OnboardingStore(OnboardingLedger, Outbox, Protocol):
    """What the worker needs of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Starts due runs, at most `max_in_flight` at a time. Safe to run in several processes: rows are leased."""

    ledger: OnboardingStore
    workflow: Workflow
    clock: Clock
    max_in_flight: int = 4

    def run(self, wakeups: Callable[[], Wakeups], stop: threading.Event, trouble: dict[str, str | None]) -> None:
        """Work until `stop` is set. What is wrong stands in ``trouble["onboarding"]``."""
        waiting = wakeups()
        try:
            while not stop.is_set():
                try:
                    started = self.step()
                    trouble["onboarding"] = None
                    if not started:
                        waiting.wait(_WAIT_SECONDS)
                except Retryable as error:
                    trouble["onboarding"] = str(error)
                    log.warning("waiting: %s", error, extra={"action": "back_off"})
                    self.clock.wait(_WAIT_SECONDS, stop)
        finally:
            waiting.close()

    def step(self) -> int:
        """Deal with the rows that are due now. Returns how many there were."""
        rows = self.ledger.due_onboardings(now=self.clock.now(), limit=self.max_in_flight, lease_seconds=_LEASE_SECONDS)
        if rows:
            with ThreadPoolExecutor(self.max_in_flight, thread_name_prefix="onboarding") as threads:
                # Consumed, so that what one of them raises is raised here.
                list(threads.map(self._deal, rows))
        return len(rows)

    def _deal(self, row: Onboarding) -> None:
        try:
            after = self._retire(row) if row.stage is OnboardingStage.LEAVING else self._train(row)
        except Retryable as error:
            after = self._later(row, str(error))
        except (Permanent, Conflict) as error:
            # A refused signup ends there. One who leaves must not become one who stays: what refuses is mended.
            leaving = row.stage is OnboardingStage.LEAVING
            after = self._later(row, str(error)) if leaving else self._refused(row, str(error))
        self.ledger.set_onboarding(after)

    def _train(self, row: Onboarding) -> Onboarding:
        conf = {"customer_id": row.customer, "model": row.model, "reason": "signup"}
        run = self.workflow.start(TRAIN_DAG, row.airflow_run_id, conf, note=f"{row.name or row.customer} signed up.")
        metrics.RUNS_STARTED.labels("started" if run.state == "queued" else "exists").inc()
        facts = {"action": "train", "customer": row.customer, "model": row.model}
        log.info("%s: run %s is %s: %s", row.customer, run.run_id, run.state, run.url, extra=facts)
        return replace(row, stage=OnboardingStage.TRAINING, error=None, next_attempt_at=None)

    def _retire(self, row: Onboarding) -> Onboarding:
        conf = {"customer_id": row.customer, "reason": row.reason or "offboarded"}
        retirement = run_id("retire", row.customer, row.event_id)
        run = self.workflow.start(RETIRE_DAG, retirement, conf, note=f"{row.name or row.customer} left.")
        soon = self.clock.now() + timedelta(seconds=_LOOK_AGAIN)
        if run.state == "success":
            self.ledger.add_events([self._report(row, "customer.gone", "Models are retired.")])
            log.info("%s is gone", row.customer, extra={"action": "retired", "customer": row.customer})
            return replace(row, stage=OnboardingStage.GONE, error=None, next_attempt_at=None)
        if run.state == "failed":
            return self._later(row, f"retirement {retirement} failed: clear it in Airflow to try again ({run.url})")
        return replace(row, attempts=0, error=None, next_attempt_at=soon)

    def _later(self, row: Onboarding, why: str) -> Onboarding:
        metrics.RUNS_STARTED.labels("retry").inc()
        seconds = min(_LONGEST_BACK_OFF, 2.0 ** min(row.attempts, 10))
        if why != row.error:
            facts = {"action": "later", "customer": row.customer}
            log.warning("%s: next attempt in %.0f s: %s", row.customer, seconds, why, extra=facts)
        at = self.clock.now() + timedelta(seconds=seconds)
        return replace(row, attempts=row.attempts + 1, next_attempt_at=at, error=why)

    def _refused(self, row: Onboarding, why: str) -> Onboarding:
        metrics.RUNS_STARTED.labels("refused").inc()
        log.error("%s is refused: %s", row.customer, why, extra={"action": "refused", "customer": row.customer})
        # First the report: after a crash in between, both are written again, and the report is still one.
        self.ledger.add_events([self._report(row, "customer.onboarding.refused", why)])
        return replace(row, stage=OnboardingStage.REFUSED, error=why, next_attempt_at=None)

    def _report(self, row: Onboarding, what: str, reason: str) -> Event:
        return Event(
            id=run_id(what, row.customer, row.event_id),
            type=OPERATION_REPORTED,
            source="roost/signup-consumer",
            subject=row.customer,
            time=self.clock.now(),
            data=OperationReported(
                what=what,
                customer=row.customer,
                actor="signup-consumer",
                reason=reason,
                facts={"model": row.model, "run_id": row.airflow_run_id, "attempts": row.attempts},
            ),
        )
