"""Training runs that failed, told as deploy events: those that a row follows, and those that nobody waits for.

A nightly retraining that fails changes nothing of what answers, and without this only Airflow would know of it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from consumers.signups import run_id
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Retryable
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.ids import DEFAULT_MODEL, CustomerId
from roost.contracts.wording import keepable
from roost.ports.clock import Clock
from roost.ports.ledger import Outbox
from roost.ports.workflow import Workflow, WorkflowRun

log = logging.getLogger(__name__)

TRAIN_DAG: Final = "train_customer_model"
_WHAT: Final = "customer.training.failed"
_ACTOR: Final = "signup-consumer"
_EVERY: Final = 60.0
_PAGE: Final = 100
#: What failed while no consumer was there is told when one is, so far back.
_FIRST_LOOK: Final = timedelta(days=1)
#: The engine's clock is not ours, and a run that ends is committed a moment later.
_OVERLAP: Final = timedelta(minutes=5)
#: So often a run's tasks are asked for their reasons in vain, before it is told without.
_ASKED: Final = 3
_CUSTOMER: Final = TypeAdapter(CustomerId)


def cause(workflow: Workflow, run: str) -> str:
    """Why a run failed, as far as its tasks said. Raises `WorkflowUnavailable`."""
    found = [
        f"task {failure.task} failed: {failure.reason or 'it left no reason, its log may say more'}"
        for failure in workflow.failures(TRAIN_DAG, run)
    ]
    return "; ".join(found) or "no task of it failed: somebody marked it so, or it took too long"


def report(run: WorkflowRun, customer: str | None, why: str, *, at: datetime, **facts: object) -> Event:
    """The event that says it. One end of one run gives one event, whoever tells of it: a cleared run ends again."""
    whose = f" of {customer}" if customer else ""
    model = facts.get("model")
    option = f" --model {model}" if model not in (None, DEFAULT_MODEL) else ""
    advice = f'Mend the cause, then `roost train {customer or "CUSTOMER"}{option} --reason "…"`.'
    return Event(
        id=run_id(_WHAT, customer or "nobody", _end(run)),
        type=OPERATION_REPORTED,
        source="roost/signup-consumer",
        subject=customer or "fleet",
        time=at,
        data=OperationReported(
            what=_WHAT,
            customer=customer,
            actor=_ACTOR,
            reason=f"Training run {run.run_id}{whose} failed: {keepable(why).rstrip('.')}. {advice}",
            facts={"run_id": run.run_id, **facts},
        ),
    )


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks for failed runs, once a minute. Several do no harm: the ledger takes each event once."""

    ledger: Outbox
    workflow: Workflow
    clock: Clock
    _since: datetime | None = field(default=None, init=False)
    #: Ends of runs that were told of and that another look may find, with when they ended.
    _told: dict[str, datetime] = field(default_factory=dict, init=False)
    #: Looks at which the engine listed a run and could not say why it failed.
    _vain: Counter[str] = field(default_factory=Counter, init=False)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        away = False
        while not stop.is_set():
            try:
                self.step()
                away = False
            except Retryable as error:
                # Nobody waits for it, and whom it keeps from working says so themselves: told once.
                if not away:
                    log.warning("failed runs are not looked for: %s", error, extra={"action": "back_off"})
                away = True
            self.clock.wait(_EVERY, stop)

    def step(self) -> int:
        """Tell of the runs that failed since the last look. Returns how many were new to this process."""
        now = self.clock.now()
        runs = self.workflow.failed(TRAIN_DAG, since=self._since or now - _FIRST_LOOK, limit=_PAGE)
        new = [run for run in runs if _end(run) not in self._told]
        for run in new:
            self.ledger.add_events([self._report(run)])
            self._told[_end(run)] = run.ended_at or now
            del self._vain[run.run_id]
        recent = now - _OVERLAP
        # More than a page: the next look goes on where this one ended.
        self._since = (runs[-1].ended_at if len(runs) == _PAGE else None) or recent
        oldest = min(self._since, recent)
        self._told = {name: at for name, at in self._told.items() if at >= oldest}
        return len(new)

    def _report(self, run: WorkflowRun) -> Event:
        try:
            customer = _CUSTOMER.validate_python(run.conf.get("customer_id"))
        except ValidationError:
            customer = None
        said = {name: keepable(str(found)) for name in ("model", "reason") if (found := run.conf.get(name)) is not None}
        facts = {"model": said.get("model"), "url": run.url, "asked": said.get("reason")}
        return report(run, customer, self._cause(run.run_id), at=self.clock.now(), **facts)

    def _cause(self, run: str) -> str:
        """Why it failed. A run of which the engine has no good answer must not keep all later ones from being told."""
        try:
            return cause(self.workflow, run)
        except Retryable as error:
            self._vain[run] += 1
            if self._vain[run] < _ASKED:
                raise
            return f"its tasks cannot be asked: {error}"


def _end(run: WorkflowRun) -> str:
    """One end of one run."""
    return run.run_id if run.ended_at is None else f"{run.run_id} {run.ended_at.isoformat()}"
