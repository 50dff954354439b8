"""The one event of a transition: every process that writes one tells it in these words. Pure."""

from __future__ import annotations

import uuid
from typing import Final

from roost.contracts.cloudevents import Event
from roost.contracts.events import RolloutChanged, rollout_type
from roost.contracts.rollout import Rollout, Transition

_IDS: Final = uuid.UUID("6f1c7a0e-6f0b-5d52-9a3e-0f5f2a2f7f11")


def transition_event(
    rollout: Rollout, line: Transition, *, source: str, evidence: str | None = None, traceparent: str | None = None
) -> Event:
    """The event of `line`, which brought `rollout` to where it stands.

    Its id follows from rollout and sequence, so a step that is repeated repeats the id.
    """
    payload = RolloutChanged(
        rollout_id=rollout.id,
        customer=rollout.customer,
        model=rollout.model,
        pool=rollout.pool,
        version=rollout.version,
        digest=rollout.digest,
        run_id=rollout.run_id,
        sequence=line.sequence,
        before=line.before,
        after=line.after,
        actor=line.actor,
        reason=line.reason,
        evidence=evidence,
        facts=dict(line.facts),
        previous_version=rollout.previous_version,
        trained_at=rollout.trained_at,
        approved_by=rollout.approved_by,
    )
    return Event(
        id=str(uuid.uuid5(_IDS, f"{rollout.id}/{line.sequence}")),
        type=rollout_type(line.after),
        source=source,
        subject=rollout.customer,
        time=line.at,
        data=payload,
        traceparent=traceparent,
    )
