"""The ledger's parts, by who uses them. Each method is one transaction.

Every method raises `DatabaseUnavailable` where the database does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from roost.contracts.cloudevents import Event
from roost.contracts.events import CustomerSignedUp, DeployCommand
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.ports.ledger.rows import (
    Change,
    CommandRow,
    Freeze,
    Onboarding,
    OnboardingStage,
    OutboxRow,
    Quarantine,
    RolloutQuery,
    Settled,
)


class OnboardingLedger(Protocol):
    """Customers, as the signup consumer keeps them."""

    def sign_up(
        self, event_id: str, payload: CustomerSignedUp, *, at: datetime, run_id: str, traceparent: str | None = None
    ) -> bool:
        """Insert or revive the row. Idempotent by event id. Returns whether anything is new.

        A customer who is on the way already changes nothing, unless another model is asked for.
        """

    def offboard(self, event_id: str, customer: str, reason: str, *, at: datetime) -> bool:
        """Mark the customer LEAVING. Idempotent by event id. One that is unknown or gone changes nothing.

        The row carries this event's id, and `at` as `left_at`, from now on. Returns whether anything is new.
        """

    def onboarding(self, customer: str) -> Onboarding | None:
        """The customer's row."""

    def customers(self, stage: OnboardingStage | None = None) -> Sequence[Onboarding]:
        """All rows, or those of one stage, by customer."""

    def due_onboardings(self, *, now: datetime, limit: int, lease_seconds: float) -> Sequence[Onboarding]:
        """Rows that need something of Airflow, are due and are not leased; leases them.

        Those that need a run (SIGNED_UP) or a retirement (LEAVING) come before those whose run is looked at (TRAINING);
        among them, who was due first.
        """

    def oldest_unanswered(self) -> datetime | None:
        """When the longest waiting customer signed up; None where nobody waits.

        Waits: SIGNED_UP, TRAINING or TRAINED, and no rollout received since then is answering or at an end.
        """

    def set_onboarding(self, row: Onboarding) -> None:
        """Write stage, attempts, next attempt and error, and drop the lease.

        Where another event has come since the row was read, or another run, that stands: only the lease is dropped.
        """

    def follow_run(self, customer: str, model: str, run_id: str) -> bool:
        """A run was started by hand: the row is TRAINING, and this is the run that it is about.

        Returns whether it is; not where the customer has left, has another model, or waits for their signup's run.
        """


class RolloutLedger(Protocol):
    """Rollouts and what concerns them."""

    def receive(self, rollout: Rollout, *, event_id: str, events: Sequence[Event]) -> bool:
        """Insert a rollout in RECEIVED, with its first transition and its events.

        Idempotent by event id and by (customer, model, digest). Returns whether it is new. Wakes the deployer. A
        customer whose training had FAILED is TRAINED by it: the run was cleared, or another one came.
        """

    def rollout(self, rollout_id: str) -> Rollout:
        """Raises `NotFound`."""

    def rollouts(self, query: RolloutQuery) -> Sequence[Rollout]:
        """By `received_at`, newest first."""

    def history(self, rollout_id: str) -> Sequence[Transition]:
        """Oldest first."""

    def claim(self, phases: frozenset[Phase], *, owner: str, limit: int, lease_seconds: float) -> Sequence[Rollout]:
        """Take rows of these phases that nobody holds and that are due, oldest first (SKIP LOCKED), and lease them."""

    def give_back(self, rollout_id: str, *, owner: str, due_in_seconds: float) -> None:
        """Drop the lease without a change; the row is due again after that time."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Write transitions, all or none, dropping leases; wakes the relay and the deployer.

        The stored revision is `before.revision` + 1. Raises `Conflict` if any row's revision is not
        `before.revision`, if a history line of that sequence exists, or if a served name would have two rollouts in
        the phases of `EXCLUSIVE`.
        """

    def allocate_version(self, rollout_id: str) -> int:
        """Next version of the rollout's served name, never reused. The same rollout gets the same number again."""

    def live(self, customer: str, model: str) -> Rollout | None:
        """The newest rollout of that name in LIVE or SETTLED whose version is what the pool should answer with.

        What had settled of a rollout received before the customer's `left_at` left with them and never counts again.
        """

    def quarantine(self, entry: Quarantine) -> None:
        """Refuse that digest from now on. Idempotent."""

    def quarantined(self, digest: str) -> Quarantine | None:
        """The entry, if the digest is refused."""

    def release(self, digest: str) -> bool:
        """Take the digest out of quarantine. Returns whether it was in."""

    def quarantines(self) -> Sequence[Quarantine]:
        """All entries, newest first."""


class CommandLedger(Protocol):
    """Commands of people, and freezes."""

    def submit(self, event_id: str, command: DeployCommand, *, at: datetime, traceparent: str | None = None) -> bool:
        """Accept a command. Idempotent by event id. Wakes the deployer."""

    def open_commands(self, limit: int) -> Sequence[CommandRow]:
        """Those not done, oldest first."""

    def close_command(
        self, event_id: str, *, outcome: str, at: datetime, events: Sequence[Event], changes: Sequence[Change] = ()
    ) -> bool:
        """Write what became of it, with its events and the transitions that it led to: all or none.

        A command that is closed keeps its outcome, and nothing is written. Returns whether it was open. Raises
        `NotFound`, and what `RolloutLedger.apply` raises: then it stays open.
        """

    def commands(self, limit: int) -> Sequence[CommandRow]:
        """The newest, done or not: the audit list."""

    def freeze(self, entry: Freeze) -> None:
        """Idempotent by scope; the newest reason stands."""

    def thaw(self, scope: str) -> bool:
        """Returns whether it was frozen."""

    def freezes(self) -> Sequence[Freeze]:
        """All that stand."""


class Outbox(Protocol):
    """Events that were committed with the facts they tell."""

    def add_events(self, events: Sequence[Event]) -> None:
        """Add events that belong to no rollout. Idempotent by event id."""

    def unpublished(self, limit: int) -> Sequence[OutboxRow]:
        """Oldest first, in order of commit."""

    def pending_events(self) -> int:
        """How many are not in Kafka yet."""

    def mark_published(self, sequences: Sequence[int]) -> None:
        """They are in Kafka."""

    def recent_events(self, *, limit: int, after: int = 0) -> Sequence[OutboxRow]:
        """Newest `limit` events with a sequence above `after`, oldest first: what `roost events` shows."""


class Housekeeping(Protocol):
    """Takes away what is done with."""

    def prune(self, what: Settled, *, before: datetime, limit: int) -> int:
        """Delete at most `limit` rows that were done with before that instant. Returns how many.

        What is not done stays, however old: an event that Kafka has not, a command that is open. Rollouts and their
        history are never deleted.
        """


class Leases(Protocol):
    """Named leases, for efficiency only: safety is compare-and-swap."""

    def acquire(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or extend the lease. Returns whether it is now ours."""

    def drop(self, name: str, *, owner: str) -> None:
        """Give it back, if it is ours."""


class Generations(Protocol):
    """The newest generation of each pool that this ledger knows of: a ledger of before knows less than the world."""

    def newest_generation(self, pool: str) -> int | None:
        """What was reserved last; None where nothing ever was."""

    def reserve_generation(self, pool: str, generation: int) -> None:
        """Note a generation before it is written, so that the ledger never knows less than the world. Never falls."""


class Ledger(OnboardingLedger, RolloutLedger, CommandLedger, Outbox, Housekeeping, Leases, Generations, Protocol):
    """All of it: what an adapter implements, and what a process opens once and hands out in parts."""

    def close(self) -> None:
        """Give the connections back."""


class Wakeups(Protocol):
    """Waits for work without polling."""

    def wait(self, seconds: float) -> frozenset[str]:
        """Channels that were notified (``rollouts``, ``commands``, ``outbox``, ``onboarding``), at most that long.

        The first call, and the first after a lost connection, answers with all of them at once: what was missed is
        unknown. Raises `DatabaseUnavailable`; the next call connects again.
        """

    def close(self) -> None:
        """Give the connection back."""
