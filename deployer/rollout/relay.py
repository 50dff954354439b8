"""The outbox relay: publishes committed events in their order, and marks them once the broker has them."""

from __future__ import annotations

import logging
from typing import Final

from deployer.rollout.parts import Parts
from roost.ports.event_bus import EventPublisher
from roost.telemetry import tracing

log = logging.getLogger(__name__)

_BATCH: Final = 200


class Relay:
    """At least once, in order of commit. One relay at a time publishes: two would only repeat each other."""

    def __init__(self, parts: Parts, publisher: EventPublisher) -> None:
        self._parts = parts
        self._publisher = publisher

    def step(self) -> bool:
        """Publish one batch. Returns whether there may be more.

        Raises `BrokerUnavailable` or `DatabaseUnavailable`: then nothing is marked, and the batch comes again.
        """
        outbox = self._parts.ledger
        rows = outbox.unpublished(_BATCH)
        if not rows:
            return False
        with tracing.publishing([row.event for row in rows]) as events:
            self._publisher.publish_all(events)
        outbox.mark_published([row.sequence for row in rows])
        return len(rows) == _BATCH
