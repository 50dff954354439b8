"""Tells that a staged artifact is ready, and waits until the bus has it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from roost.contracts.cloudevents import Event
from roost.contracts.events import MODEL_READY, ModelReady
from roost.ports.event_bus import EventPublisher
from roost.telemetry import tracing
from training.staging import Staged

#: Namespace of the event ids that training derives.
_EVENTS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://roost.invalid/events/models.ready")


def ready_event(staged: Staged, *, at: datetime, wave_id: str | None = None, traceparent: str | None = None) -> Event:
    """The event of one staged artifact. Its id follows from the run, so that publishing again is a duplicate."""
    manifest = staged.manifest
    run = manifest.run
    return Event(
        id=str(uuid.uuid5(_EVENTS, f"{manifest.customer}/{manifest.model}/{run.run_id}")),
        type=MODEL_READY,
        source="/roost/training",
        subject=manifest.customer,
        time=at,
        data=ModelReady(
            customer=manifest.customer,
            model=manifest.model,
            artifact_uri=staged.uri,
            artifact_digest=manifest.digest,
            run_id=run.run_id,
            trained_at=run.trained_at,
            data_window=run.data_window,
            metrics=run.metrics,
            code_version=run.code_version,
            scope=run.scope,
            cohort=run.cohort,
            wave_id=wave_id,
        ),
        traceparent=traceparent,
    )


def publish(publisher: EventPublisher, staged: Staged, *, at: datetime, wave_id: str | None = None) -> Event:
    """Publish and wait for the acknowledgement; the caller's place in a trace goes with it.

    Raises `BrokerUnavailable`: publish again.
    """
    with tracing.publishing([ready_event(staged, at=at, wave_id=wave_id, traceparent=tracing.here())]) as [event]:
        publisher.publish(event)
    return event
