"""`customers`: who came and who left, to onboarding rows."""

from __future__ import annotations

import hashlib
import logging

from consumers.loop import Handler, identity
from roost.contracts.cloudevents import Event
from roost.contracts.errors import InvalidEvent
from roost.contracts.events import CustomerOffboarded, CustomerSignedUp
from roost.ports.clock import Clock
from roost.ports.ledger import OnboardingLedger

log = logging.getLogger(__name__)


def handler(ledger: OnboardingLedger, clock: Clock) -> Handler:
    """Takes one event of the topic into `ledger`."""

    def handle(event: Event) -> bool:
        match event.data:
            case CustomerSignedUp() as payload:
                return _sign_up(ledger, event, payload, clock)
            case CustomerOffboarded() as payload:
                return _offboard(ledger, event, payload, clock)
            case _:
                raise InvalidEvent(f"{event.type} says nothing of customers")

    return handle


def run_id(verb: str, customer: str, event_identity: str) -> str:
    """Airflow run of an event: ``<verb>__<customer>__<hash>``. The same event always gives the same run."""
    return f"{verb}__{customer}__{hashlib.sha256(event_identity.encode()).hexdigest()[:10]}"


def _sign_up(ledger: OnboardingLedger, event: Event, payload: CustomerSignedUp, clock: Clock) -> bool:
    key = identity(event)
    # A producer's clock may be ahead of ours; nobody signed up in the future.
    at = min(event.time, clock.now())
    run = run_id("signup", payload.customer, key)
    new = ledger.sign_up(key, payload, at=at, run_id=run, traceparent=event.traceparent)
    if new:
        facts = {"action": "sign_up", "customer": payload.customer, "model": payload.model}
        log.info("%s signed up", payload.customer, extra=facts)
    return new


def _offboard(ledger: OnboardingLedger, event: Event, payload: CustomerOffboarded, clock: Clock) -> bool:
    new = ledger.offboard(identity(event), payload.customer, payload.reason, at=clock.now())
    facts = {"action": "offboard", "customer": payload.customer}
    if new:
        log.info("%s leaves: %s", payload.customer, payload.reason or "no reason given", extra=facts)
    else:
        log.info("%s leaves, and is unknown, gone or leaving already: nothing to do", payload.customer, extra=facts)
    return new
