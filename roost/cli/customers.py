"""Commands of `roost`: customers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from roost import settings
from roost.cli import customers_words
from roost.contracts.cloudevents import Event
from roost.contracts.errors import NotFound, Permanent
from roost.contracts.events import (
    CUSTOMER_OFFBOARDED,
    CUSTOMER_SIGNED_UP,
    CustomerOffboarded,
    CustomerSignedUp,
    Payload,
)
from roost.contracts.ids import DEFAULT_MODEL, check_id, check_run_id
from roost.contracts.links import run_note
from roost.ports.ledger import OnboardingStage
from roost.process import traced
from roost.telemetry import tracing

if TYPE_CHECKING:
    from roost.ports.ledger import Onboarding, OnboardingLedger

PANEL = "Customers"
_WINDOW = re.compile(r"\d{4}-\d{2}-\d{2}:\d{4}-\d{2}-\d{2}")
Customer = Annotated[str, typer.Argument(help="Customer id: 1 to 63 of a-z, 0-9 and '-'.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    for command in (customers, signup, offboard, train):
        app.command(command.__name__, rich_help_panel=PANEL)(command)


def customers(
    stage: Annotated[
        list[OnboardingStage] | None, typer.Option(help="Only those who stand there; may be given again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every customer: where they stand, and what to do where it does not go on."""
    with _ledger() as ledger:
        rows = [row for row in ledger.customers() if not stage or row.stage in stage]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1, default=str))
        return
    if not rows:
        named = " or ".join(one.value for one in stage or ())
        print(f"Nobody is {named}." if named else "No customers. The first comes with `roost signup ua`.")
        return
    customers_words.table(rows)


def signup(
    customer: Customer,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_MODEL,
    name: Annotated[str, typer.Option(help="The customer's name, for people.")] = "",
    as_json: Json = False,
) -> None:
    """Publish that a customer signed up: a model of theirs is trained, checked and served."""
    check_id(customer, "customer id")
    check_id(model, "model id")
    event = _publish(CUSTOMER_SIGNED_UP, customer, CustomerSignedUp(customer=customer, model=model, name=name[:200]))
    if as_json:
        print(json.dumps({"event_id": event.id, "customer": customer, "model": model}))
    else:
        print(f"{customer} signed up (event {event.id}). Follow it with `roost why {customer}`.")


def offboard(
    customer: Customer,
    reason: Annotated[str, typer.Option(help="Why they leave; it stands in the events.")],
    as_json: Json = False,
) -> None:
    """Publish that a customer left: their models stop serving and are deleted by policy."""
    _known(customer)
    event = _publish(CUSTOMER_OFFBOARDED, customer, CustomerOffboarded(customer=customer, reason=reason[:2000]))
    if as_json:
        print(json.dumps({"event_id": event.id, "customer": customer}))
    else:
        print(f"{customer} leaves (event {event.id}). Follow it with `roost why {customer}`.")


def train(
    customer: Customer,
    reason: Annotated[str, typer.Option(help="Why; it stands in the run's conf.")] = "asked for by hand",
    window: Annotated[
        str | None, typer.Option(help="Days of data, as 2013-01-01:2013-07-01, the last left out; all by default.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model id; the one they signed up with by default.")] = None,
    as_json: Json = False,
) -> None:
    """Start a training run in Airflow for a customer who signed up."""
    from roost.adapters.airflow import open_workflow

    if window and not _WINDOW.fullmatch(window):
        raise Permanent(f"window {window!r} is not two days in UTC, as 2013-01-01:2013-07-01")
    row = _known(customer)
    if row.stage in {OnboardingStage.LEAVING, OnboardingStage.GONE}:
        raise Permanent(
            f"customer {customer} has left: no model of theirs is deployed. `roost signup {customer}` first"
        )
    conf: dict[str, object] = {"customer_id": customer, "model": check_id(model or row.model, "model id")}
    conf |= {"reason": reason} | ({"data_window": window} if window else {})
    run_id = check_run_id(f"manual__{customer}__{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:4]}")
    note = run_note(reason, settings.load().console.url, run_id)
    run = open_workflow(settings.load().airflow).start("train_customer_model", run_id, conf, note=note)
    with _ledger() as ledger:
        followed = ledger.follow_run(customer, str(conf["model"]), run_id)
    if as_json:
        print(json.dumps({"run_id": run.run_id, "state": run.state, "url": run.url, "followed": followed}))
        return
    print(f"Run {run.run_id} is {run.state}: {run.url}")
    if followed:
        print(f"Follow it with `roost why {customer}`; if it fails, an event says so (`roost events -f`).")


def _publish(kind: str, customer: str, payload: Payload) -> Event:
    from roost.adapters.kafka import open_publisher

    event = Event(
        id=str(uuid.uuid4()), type=kind, source="roost/cli", subject=customer, time=datetime.now(UTC), data=payload
    )
    loaded = settings.load()
    publisher = open_publisher(loaded.kafka)
    with (
        traced("command", loaded),
        tracing.span(kind, None, {"roost.customer": customer}) as begun,
        tracing.publishing([replace(event, traceparent=begun.traceparent)]) as [sent],
    ):
        publisher.publish(sent)
    publisher.close()
    return event


@contextmanager
def _ledger() -> Iterator[OnboardingLedger]:
    from roost.adapters.postgres import open_ledger

    ledger = open_ledger(settings.load().database)
    try:
        yield ledger
    finally:
        ledger.close()


def _known(customer: str) -> Onboarding:
    check_id(customer, "customer id")
    with _ledger() as ledger:
        row = ledger.onboarding(customer)
    if row is None:
        raise NotFound(f"customer {customer} is not known here: check the id, or `roost signup {customer}` first")
    return row
