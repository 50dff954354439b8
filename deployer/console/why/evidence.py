"""What is known of one customer's model, collected for `why`. The collecting is here, the explaining is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deployer.console.fleet import FleetReader, PoolReport
from deployer.console.one_moment import rollout_and_history
from deployer.console.sources import TRAINING_DAG, Sources
from deployer.domain import scopes
from deployer.rollout.possible import Possible
from roost.contracts.errors import NotFound, WorkflowUnavailable
from roost.contracts.events import Command
from roost.contracts.ids import run_of
from roost.contracts.rollout import Rollout, Transition
from roost.ports.ledger import Freeze, Onboarding, OnboardingStage, Quarantine, RolloutQuery
from roost.ports.workflow import WorkflowRun

_CAME: Final = frozenset(OnboardingStage) - {OnboardingStage.LEAVING, OnboardingStage.GONE}


class UnknownCustomer(NotFound):
    """Nothing was ever heard of that customer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that an explanation may use. The newest rollout is the one explained."""

    customer: str
    model: str
    now: datetime
    onboarding: Onboarding | None
    run: WorkflowRun | None
    #: Why `run` is not known, where the workflow engine does not answer.
    run_error: str | None
    rollout: Rollout | None
    history: Sequence[Transition]
    #: The rollout whose version the pool should answer with.
    live: Rollout | None
    freezes: Sequence[Freeze]
    #: Pauses of the fleet, the customer or the rollout.
    pauses: Sequence[Freeze]
    quarantine: Quarantine | None
    #: Commands that the rollout takes.
    taken: Sequence[Command]
    pool: PoolReport

    @property
    def name(self) -> str:
        """Served name."""
        return f"{self.customer}.{self.model}"

    @property
    def failed_since(self) -> str | None:
        """Why a training run that is not the newest rollout's failed; None where none did."""
        row, rollout = self.onboarding, self.rollout
        if row is None or rollout is None or row.stage is not OnboardingStage.FAILED or row.model != rollout.model:
            return None
        if row.airflow_run_id == run_of(rollout.run_id):
            # It announced its model before something of it failed.
            return None
        return f"run {row.airflow_run_id} failed: {row.error or 'its log in Airflow says why'}"

    @property
    def run_id(self) -> str | None:
        """The training run behind the newest rollout, or the one that onboarding waits for."""
        if self.rollout is not None:
            return self.rollout.run_id
        return self.onboarding.airflow_run_id if self.onboarding else None


def collect(sources: Sources, fleet: FleetReader, possible: Possible, customer: str, model: str) -> Evidence:
    """Read it all now. Parts that are down are reported within.

    Raises:
        UnknownCustomer: there is neither a signup nor a rollout of that customer and model.
        DatabaseUnavailable: without the ledger nothing can be said.
    """
    ledger = sources.ledger
    onboarding = ledger.onboarding(customer)
    newest = ledger.rollouts(RolloutQuery(customer=customer, model=model, limit=1))
    rollout = newest[0] if newest and not _before_return(newest[0], onboarding) else None
    if rollout is None and (onboarding is None or onboarding.model != model):
        raise UnknownCustomer(_unknown(onboarding, customer, model))
    rollout, history = rollout_and_history(ledger, rollout.id) if rollout else (None, ())
    run, run_error = _run(
        sources, run_of(rollout.run_id) if rollout else onboarding.airflow_run_id if onboarding else None
    )
    holds, freezing = ledger.freezes(), scopes.freezing(customer)
    pausing = scopes.pausing(customer, rollout.id if rollout else None)
    pool = rollout.pool if rollout else sources.pools[0]
    return Evidence(
        customer=customer,
        model=model,
        now=sources.clock.now(),
        onboarding=onboarding,
        run=run,
        run_error=run_error,
        rollout=rollout,
        history=history,
        live=ledger.live(customer, model),
        freezes=[entry for entry in holds if entry.scope in freezing],
        pauses=[entry for entry in holds if entry.scope in pausing],
        quarantine=ledger.quarantined(rollout.digest) if rollout else None,
        taken=possible.taken(rollout) if rollout else (),
        pool=fleet.pool(pool),
    )


def _before_return(rollout: Rollout, onboarding: Onboarding | None) -> bool:
    """Whether the rollout ended before the customer signed up (again): then the new run is what counts."""
    if onboarding is None or onboarding.model != rollout.model or onboarding.stage not in _CAME:
        return False
    return rollout.terminal and rollout.received_at < onboarding.signed_up_at


def _run(sources: Sources, run_id: str | None) -> tuple[WorkflowRun | None, str | None]:
    if run_id is None:
        return None, None
    try:
        return sources.workflow.run(TRAINING_DAG, run_id), None
    except WorkflowUnavailable as error:
        return None, str(error)


def _unknown(onboarding: Onboarding | None, customer: str, model: str) -> str:
    if onboarding is None:
        return f"nothing is known of customer {customer!r}: no signup, no rollout"
    return f"customer {customer!r} has no model {model!r}; they signed up for {onboarding.model!r}"
