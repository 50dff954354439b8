"""A small world in memory: bus, ledger, clock, and events as producers write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from consumers import models, signups
from consumers.loop import Handler, Loop, Parts
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.cloudevents import Event
from roost.contracts.events import CATALOGUE, Payload, Topic
from roost.ports.event_bus import topics

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = models.Place(bucket="roost", pool="default")
DIGEST = "sha256:" + "a" * 64


def an_event(data: Payload, event_id: str = "e1", **changes: object) -> Event:
    kind = next(name for name, (payload, _) in CATALOGUE.items() if isinstance(data, payload))
    subject = getattr(data, "customer", None) or "default"
    fields: dict[str, object] = {"id": event_id, "type": kind, "source": "test", "subject": subject, "time": T0}
    return Event(**(fields | {"data": data} | changes))  # type: ignore[arg-type]  # tests write what they like


@dataclass
class World:
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0))

    def __post_init__(self) -> None:
        self.bus = InMemoryBus(self.clock)
        self.bus.ensure(topics(partitions=1, replication=1))
        self.ledger = InMemoryLedger(self.clock)
        self.publisher = self.bus.publisher()

    def loop(self, topic: Topic = Topic.CUSTOMERS, handler: Handler | None = None) -> Loop:
        known = {
            Topic.CUSTOMERS: signups.handler(self.ledger, self.clock),
            Topic.MODELS_READY: models.ready_handler(self.ledger, self.ledger, PLACE, self.clock),
            Topic.DEPLOY_COMMANDS: models.command_handler(self.ledger, self.clock),
        }
        source = self.bus.source([topic], f"roost-{topic}")
        return Loop(
            Parts(
                topic=topic,
                source=source,
                publisher=self.publisher,
                handler=handler or known[topic],
                clock=self.clock,
            )
        )

    def dead(self) -> list[str]:
        from consumers.dead_letters import unwrap

        return [unwrap(one).reason for one in self.bus.read(Topic.DEAD_LETTERS)]


@pytest.fixture
def world() -> World:
    return World()
