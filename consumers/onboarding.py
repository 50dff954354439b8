"""From onboarding rows to Airflow runs, and back: what is slow, and so not done between poll and commit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from consumers import training_failures
from consumers.signups import run_id
from consumers.training_failures import TRAIN_DAG
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict, Permanent, Retryable
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.links import run_note
from roost.contracts.trace_context import within
from roost.contracts.wording import keepable
from roost.ports.clock import Clock
from roost.ports.ledger import (
    Onboarding,
    OnboardingLedger,
    OnboardingStage,
    Outbox,
    RolloutLedger,
    RolloutQuery,
    Wakeups,
)
from roost.ports.workflow import TRACE_CONF, Workflow, WorkflowRun
from roost.telemetry import metrics, tracing

log = logging.getLogger(__name__)

RETIRE_DAG: Final = "retire_customer_models"
#: Longer than a POST usually takes. If one takes longer, a second one finds its run there.
_LEASE_SECONDS: Final = 45.0
_LONGEST_BACK_OFF: Final = 60.0
#: How often a run is looked at, at first.
_LOOK_AGAIN: Final = 5.0
#: One that takes long is looked at ever more seldom, down to this: fleets train for hours, and hundreds may leave.
_LONGEST_LOOK: Final = 60.0
_LOOK_GROWTH: Final = 1.2
_WAIT_SECONDS: Final = 2.0


class OnboardingStore(OnboardingLedger, RolloutLedger, Outbox, Protocol):
    """What the worker needs of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Starts due runs and follows them to their end, at most `max_in_flight` at a time.

    Safe to run in several processes: rows are leased.
    """

    ledger: OnboardingStore
    workflow: Workflow
    clock: Clock
    max_in_flight: int = 4
    #: How people reach the console; the runs' notes link to it.
    console_url: str = ""

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
        deal = {OnboardingStage.LEAVING: self._retire, OnboardingStage.TRAINING: self._follow}.get(
            row.stage, self._train
        )
        try:
            with tracing.bound(row.traceparent):
                after = deal(row)
        except Retryable as error:
            after = self._later(row, str(error))
        except (Permanent, Conflict) as error:
            # A refused signup ends there. One who leaves must not become one who stays: what refuses is mended.
            leaving = row.stage is OnboardingStage.LEAVING
            after = self._later(row, str(error)) if leaving else self._refused(row, str(error))
        self.ledger.set_onboarding(after)

    def _train(self, row: Onboarding) -> Onboarding:
        conf: dict[str, object] = {"customer_id": row.customer, "model": row.model, "reason": "signup"}
        if tracing.on() and (place := training_place(row)):
            conf[TRACE_CONF] = place
        note = run_note(f"{row.name or row.customer} signed up.", self.console_url, row.airflow_run_id)
        run = self.workflow.start(TRAIN_DAG, row.airflow_run_id, conf, note=note)
        metrics.RUNS_STARTED.labels("started" if run.state == "queued" else "exists").inc()
        facts = {"action": "train", "customer": row.customer, "model": row.model}
        log.info("%s: run %s is %s: %s", row.customer, run.run_id, run.state, run.url, extra=facts)
        return replace(
            row, stage=OnboardingStage.TRAINING, error=None, attempts=0, next_attempt_at=self._in(_LOOK_AGAIN)
        )

    def _follow(self, row: Onboarding) -> Onboarding:
        run = self.workflow.run(TRAIN_DAG, row.airflow_run_id)
        if run is None:
            return self._vanished(row)
        if run.state == "success":
            return self._trained(row, run.ended_at)
        if run.state == "failed":
            why = training_failures.cause(self.workflow, run.run_id)
            return self._failed(row, why, run)
        return self._look_again(row)

    def _look_again(self, row: Onboarding) -> Onboarding:
        seconds = min(_LONGEST_LOOK, _LOOK_AGAIN * _LOOK_GROWTH ** min(row.attempts, 50))
        return replace(row, attempts=row.attempts + 1, error=None, next_attempt_at=self._in(seconds))

    def _vanished(self, row: Onboarding) -> Onboarding:
        # Airflow forgets old runs; what they brought stays known.
        if self.ledger.rollouts(RolloutQuery(customer=row.customer, run_id=row.airflow_run_id, limit=1)):
            return self._trained(row)
        gone = WorkflowRun(run_id=row.airflow_run_id, state="failed", conf={}, url="")
        return self._failed(row, "Airflow has no such run any more: somebody deleted it", gone)

    def _trained(self, row: Onboarding, ended: datetime | None = None) -> Onboarding:
        self._tell_run(row, ended)
        metrics.RUNS_ENDED.labels("success").inc()
        facts = {"action": "trained", "customer": row.customer, "model": row.model}
        log.info("%s: run %s succeeded", row.customer, row.airflow_run_id, extra=facts)
        return replace(row, stage=OnboardingStage.TRAINED, error=None, attempts=0, next_attempt_at=None)

    def _failed(self, row: Onboarding, why: str, run: WorkflowRun) -> Onboarding:
        why = keepable(why)
        self._tell_run(row, None, why)
        metrics.RUNS_ENDED.labels("failed").inc()
        log.error("%s: run %s failed: %s", row.customer, row.airflow_run_id, why, extra={"action": "training_failed"})
        where = {"url": run.url} if run.url else {}
        told = training_failures.report(run, row.customer, why, at=self.clock.now(), model=row.model, **where)
        # First the report: after a crash in between, both are written again, and the report is still one.
        self.ledger.add_events([replace(told, traceparent=row.traceparent)])
        return replace(row, stage=OnboardingStage.FAILED, error=why, attempts=0, next_attempt_at=None)

    def _retire(self, row: Onboarding) -> Onboarding:
        conf = {"customer_id": row.customer, "reason": row.reason or "offboarded"}
        retirement = run_id("retire", row.customer, row.event_id)
        run = self.workflow.start(RETIRE_DAG, retirement, conf, note=f"{row.name or row.customer} left.")
        if run.state == "success":
            self.ledger.add_events([self._report(row, "customer.gone", "Models are retired.")])
            log.info("%s is gone", row.customer, extra={"action": "retired", "customer": row.customer})
            return replace(row, stage=OnboardingStage.GONE, error=None, next_attempt_at=None)
        if run.state == "failed":
            return self._later(row, f"retirement {retirement} failed: clear it in Airflow to try again ({run.url})")
        return self._look_again(row)

    def _later(self, row: Onboarding, why: str) -> Onboarding:
        if row.stage is not OnboardingStage.TRAINING:
            metrics.RUNS_STARTED.labels("retry").inc()
        seconds = min(_LONGEST_BACK_OFF, 2.0 ** min(row.attempts, 10))
        if why != row.error:
            facts = {"action": "later", "customer": row.customer}
            log.warning("%s: next attempt in %.0f s: %s", row.customer, seconds, why, extra=facts)
        return replace(row, attempts=row.attempts + 1, next_attempt_at=self._in(seconds), error=why)

    def _in(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

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
            traceparent=row.traceparent,
        )

    def _tell_run(self, row: Onboarding, ended: datetime | None, error: str | None = None) -> None:
        """The span of the whole run: the engine's tasks named it as their parent before it was over."""
        place, now = training_place(row), self.clock.now()
        if row.traceparent is None or place is None:
            return
        facts: dict[str, tracing.Attribute] = {"roost.customer": row.customer, "roost.run_id": row.airflow_run_id}
        tracing.write(
            tracing.Finished(
                name=TRAIN_DAG,
                traceparent=place,
                parent=row.traceparent,
                began=row.signed_up_at,
                ended=min(ended or now, now),
                attributes=facts,
                error=error,
            )
        )


def training_place(row: Onboarding) -> str | None:
    """Where in the signup's trace its training run stands; None of a run that somebody else started."""
    if row.airflow_run_id != run_id("signup", row.customer, row.event_id):
        return None
    return within(row.traceparent, row.airflow_run_id)
