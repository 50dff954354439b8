"""Rows of the tables to the values of the contracts, and back."""

from __future__ import annotations

from typing import Final

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from roost.adapters.postgres.newer import read
from roost.contracts.cloudevents import Event
from roost.contracts.events import CATALOGUE, DeployCommand
from roost.contracts.rollout import Rollout, Transition
from roost.ports.ledger import CommandRow, Onboarding, OnboardingStage, OutboxRow

_ROLLOUT_FIELDS: Final = frozenset(Rollout.model_fields)

INSERT_EVENT: Final = """
INSERT INTO outbox (event_id, topic, type, source, subject, happened_at, traceparent, data)
VALUES (%(id)s, %(topic)s, %(type)s, %(source)s, %(subject)s, %(time)s, %(traceparent)s, %(data)s)
ON CONFLICT (event_id) DO NOTHING
"""
INSERT_TRANSITION: Final = """
INSERT INTO transitions (rollout_id, sequence, before, after, at, actor, reason, facts)
VALUES (%(rollout_id)s, %(sequence)s, %(before)s, %(after)s, %(at)s, %(actor)s, %(reason)s, %(facts)s)
"""


def rollout_of(row: DictRow) -> Rollout:
    """The contract's part of a row of `rollouts`."""
    values = {name: value for name, value in row.items() if name in _ROLLOUT_FIELDS}
    return read(f"rollout {row['id']}", lambda: Rollout.model_validate(values, extra="ignore"))


def rollout_values(rollout: Rollout) -> dict[str, object]:
    """Parameters for writing a row of `rollouts`."""
    document = rollout.model_dump(mode="json", include={"verdict", "facts"})
    return {
        **rollout.model_dump(exclude={"verdict", "facts"}),
        "phase": rollout.phase.value,
        "verdict": None if rollout.verdict is None else Jsonb(document["verdict"]),
        "facts": Jsonb(document["facts"]),
    }


def transition_of(row: DictRow) -> Transition:
    """A row of `transitions`."""
    what = f"line {row['sequence']} of rollout {row['rollout_id']}"
    return read(what, lambda: Transition.model_validate(row, extra="ignore"))


def transition_values(line: Transition) -> dict[str, object]:
    """Parameters for `INSERT_TRANSITION`."""
    return {
        **line.model_dump(exclude={"facts"}),
        "before": None if line.before is None else line.before.value,
        "after": line.after.value,
        "facts": Jsonb(line.model_dump(mode="json", include={"facts"})["facts"]),
    }


def onboarding_of(row: DictRow) -> Onboarding:
    """A row of `onboardings`."""
    return Onboarding(
        customer=row["customer"],
        model=row["model"],
        name=row["name"],
        stage=read(f"customer {row['customer']}", lambda: OnboardingStage(row["stage"])),
        event_id=row["event_id"],
        signed_up_at=row["signed_up_at"],
        airflow_run_id=row["airflow_run_id"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        error=row["error"],
        reason=row["reason"],
        left_at=row["left_at"],
        traceparent=row["traceparent"],
    )


def command_of(row: DictRow) -> CommandRow:
    """A row of `commands`."""
    return CommandRow(
        event_id=row["event_id"],
        command=read(f"command {row['event_id']}", lambda: DeployCommand.model_validate(row["command"])),
        received_at=row["received_at"],
        done_at=row["done_at"],
        outcome=row["outcome"],
        traceparent=row["traceparent"],
    )


def event_values(event: Event) -> dict[str, object]:
    """Parameters for `INSERT_EVENT`."""
    return {
        "id": event.id,
        "topic": event.topic.value,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "traceparent": event.traceparent,
        "data": Jsonb(event.data.model_dump(mode="json")),
    }


def outbox_of(row: DictRow) -> OutboxRow:
    """A row of `outbox`."""
    event = Event(
        id=row["event_id"],
        type=row["type"],
        source=row["source"],
        subject=row["subject"],
        time=row["happened_at"],
        data=read(f"event {row['event_id']}", lambda: CATALOGUE[row["type"]][0].model_validate(row["data"])),
        traceparent=row["traceparent"],
    )
    return OutboxRow(sequence=row["sequence"], event=event)
