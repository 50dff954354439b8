"""`models.ready` to rollouts, `deploy.commands` to commands."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from consumers.loop import Handler, identity
from roost.contracts.cloudevents import Event
from roost.contracts.errors import InvalidEvent
from roost.contracts.events import DeployCommand, ModelReady
from roost.contracts.ids import rollout_id, staging_prefix
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.contracts.rollout_events import transition_event
from roost.ports.clock import Clock
from roost.ports.ledger import CommandLedger, OnboardingLedger, OnboardingStage, RolloutLedger

log = logging.getLogger(__name__)

_SOURCE: Final = "roost/model-consumer"
#: Clocks that are kept right differ by seconds. One that is further ahead counts as having trained when its event came:
#: the newer of two models is known by `trained_at`, and until that hour had come, every later one would look older.
_AHEAD: Final = timedelta(minutes=5)
#: What no clock is wrong by is not a date of training at all.
_FUTURE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where artifacts come from and rollouts go to."""

    bucket: str
    pool: str


def ready_handler(rollouts: RolloutLedger, customers: OnboardingLedger, place: Place, clock: Clock) -> Handler:
    """Takes one event of `models.ready` into the ledger, as a rollout in RECEIVED.

    A model of a customer who has left is passed over: should they come back, their signup trains a new one.
    """

    def handle(event: Event) -> bool:
        if not isinstance(event.data, ModelReady):
            raise InvalidEvent(f"{event.type} announces no model")
        rollout = received(event.data, place, clock).model_copy(update={"traceparent": event.traceparent})
        if _has_left(customers, event.data.customer):
            # As with any training that ends after its customer left, and with its event again: nobody need act.
            facts = {"action": "left", "customer": rollout.customer, "model": rollout.model}
            log.info(
                "%s: run %s is ready, and the customer has left: nothing to do",
                rollout.name,
                rollout.run_id,
                extra=facts,
            )
            return False
        told = transition_event(rollout, Transition.first(rollout), source=_SOURCE, traceparent=event.traceparent)
        new = rollouts.receive(rollout, event_id=identity(event), events=[told])
        if new:
            facts = {"action": "received", "rollout_id": rollout.id, "customer": rollout.customer}
            log.info("%s: run %s is ready", rollout.name, rollout.run_id, extra={**facts, "model": rollout.model})
        return new

    return handle


def command_handler(ledger: CommandLedger, clock: Clock) -> Handler:
    """Takes one event of `deploy.commands` into the ledger, under its own id: people's tools ask for it by that."""

    def handle(event: Event) -> bool:
        if not isinstance(event.data, DeployCommand):
            raise InvalidEvent(f"{event.type} commands nothing")
        new = ledger.submit(event.id, event.data, at=clock.now(), traceparent=event.traceparent)
        if new:
            facts = {"action": "command", "command": event.data.command.value, "actor": event.data.actor}
            log.info("%s asks to %s: %s", event.data.actor, event.data.command, event.data.reason, extra=facts)
        return new

    return handle


def received(ready: ModelReady, place: Place, clock: Clock) -> Rollout:
    """The rollout that an event announces.

    Raises:
        InvalidEvent: the artifact is not where this customer's run would stage it, was trained in the future, or has
            metrics that are not numbers.
    """
    now = clock.now()
    expected = f"gs://{place.bucket}/{staging_prefix(ready.customer, ready.model, ready.run_id)}"
    if ready.artifact_uri != expected:
        raise InvalidEvent(f"artifact_uri {ready.artifact_uri[:200]!r} is not {expected!r}, this run's staging prefix")
    if ready.trained_at > now + _FUTURE:
        raise InvalidEvent(f"trained_at {ready.trained_at.isoformat()} lies in the future")
    for name, number in ready.metrics.items():
        if not math.isfinite(number):
            raise InvalidEvent(f"metric {name[:80]!r} is {number}, not a number")
    return Rollout(
        id=rollout_id(ready.customer, ready.model, ready.artifact_digest),
        customer=ready.customer,
        model=ready.model,
        pool=place.pool,
        phase=Phase.RECEIVED,
        run_id=ready.run_id,
        digest=ready.artifact_digest,
        artifact_uri=ready.artifact_uri,
        trained_at=ready.trained_at if ready.trained_at <= now + _AHEAD else now,
        received_at=now,
        entered_at=now,
        reason=f"Training run {ready.run_id} staged a model.",
        wave_id=ready.wave_id,
        facts=ready.model_dump(mode="json", include={"metrics", "code_version", "data_window", "scope", "cohort"}),
    )


def _has_left(customers: OnboardingLedger, customer: str) -> bool:
    row = customers.onboarding(customer)
    return row is not None and row.stage in {OnboardingStage.LEAVING, OnboardingStage.GONE}
