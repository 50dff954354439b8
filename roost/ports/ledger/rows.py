"""What the ledger keeps, row by row, and how rows are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from roost.contracts.cloudevents import Event
from roost.contracts.events import DeployCommand
from roost.contracts.rollout import Phase, Rollout, Transition


class OnboardingStage(StrEnum):
    """Where a customer stands."""

    #: The signup event is in; a training run is due.
    SIGNED_UP = "signed_up"
    #: Airflow has the run; it is looked at until it ends.
    TRAINING = "training"
    #: The run succeeded. What becomes of its model is the rollout's to say.
    TRAINED = "trained"
    #: The run failed; `error` says where and why. A new run, or a signup, begins again.
    FAILED = "failed"
    #: Airflow refused the run for good; `error` says why.
    REFUSED = "refused"
    #: The customer left; models are being retired.
    LEAVING = "leaving"
    #: Models are unloaded and deleted by policy.
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """One customer's row."""

    customer: str
    model: str
    name: str
    stage: OnboardingStage
    event_id: str
    signed_up_at: datetime
    #: The run that is followed. Of a signup it is deterministic: the same event gives the same Airflow run.
    airflow_run_id: str
    #: At starting a run or retiring in vain; of a run under way, how often it was looked at.
    attempts: int = 0
    next_attempt_at: datetime | None = None
    error: str | None = None
    #: Why the customer left, as the event said. Empty before.
    reason: str = ""
    #: When the newest offboarding was accepted; it stays when the customer comes back. None before the first.
    left_at: datetime | None = None
    #: W3C trace context of the signup, if any.
    traceparent: str | None = None


def due_order(row: Onboarding) -> tuple[bool, datetime, str]:
    """By when they were due. By signup alone, the oldest would be due again before the newest were ever looked at."""
    return row.stage is OnboardingStage.TRAINING, row.next_attempt_at or row.signed_up_at, row.customer


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutQuery:
    """Which rollouts, newest first. None means any."""

    customer: str | None = None
    model: str | None = None
    phases: frozenset[Phase] | None = None
    pool: str | None = None
    #: A training run, whichever of its attempts staged the artifact.
    run_id: str | None = None
    limit: int = 50
    #: Only those received before this instant: the next page.
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRow:
    """One accepted command. `event_id` makes it idempotent."""

    event_id: str
    command: DeployCommand
    received_at: datetime
    done_at: datetime | None = None
    #: What became of it, one sentence.
    outcome: str | None = None
    #: W3C trace context of the event, if any.
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A digest that must not be deployed until somebody releases it."""

    digest: str
    customer: str
    model: str
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """While it stands, nothing of its scope is promoted. Scope: as `deployer/domain/scopes.py` writes it."""

    scope: str
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An event that is committed and not yet published."""

    sequence: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One transition to write: the row as it was read, the row as it shall be, its history line, its events."""

    before: Rollout
    after: Rollout
    transition: Transition
    events: Sequence[Event] = field(default_factory=tuple)


class Settled(StrEnum):
    """What is done with, and kept for a while."""

    #: Events that were taken in. As long as one of them may come again, it has to be known.
    INBOX = "inbox"
    #: Events that Kafka has.
    OUTBOX = "outbox"
    #: Commands that were handled.
    COMMANDS = "commands"
