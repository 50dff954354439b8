"""What Kafka's topics still hold, decoded. What no consumer could handle is left out: it lies in the dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from consumers import dead_letters
from consumers.loop import opened
from roost.contracts.cloudevents import Event
from roost.contracts.errors import InvalidEvent
from roost.contracts.events import OperationReported, RolloutChanged, Topic
from roost.ports.event_bus import Delivery, TopicReader

#: Told how far the reading is.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One event, when the broker took it, and where it lies."""

    event: Event
    at: datetime
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Everything that is left of the log, each list in the order in which it was taken in."""

    customers: Sequence[Heard] = ()
    ready: Sequence[Heard] = ()
    commands: Sequence[Heard] = ()
    deploy: Sequence[Heard] = ()
    #: Of each rollout, by sequence.
    rollouts: dict[str, list[Heard]] = field(default_factory=dict)

    def operations(self) -> Iterator[tuple[Heard, OperationReported]]:
        """What concerned no single rollout, oldest first."""
        for heard in self.deploy:
            if isinstance(heard.event.data, OperationReported):
                yield heard, heard.event.data


def read(reader: TopicReader, progress: Progress) -> Log:
    """The log as it is now. Raises `BrokerUnavailable`."""
    buried = {
        (letter.topic, letter.partition, letter.offset)
        for letter in map(dead_letters.unwrap, reader.read(Topic.DEAD_LETTERS))
    }
    progress(f"{Topic.DEAD_LETTERS}: {len(buried)} letters")
    topics: dict[Topic, list[Heard]] = {}
    for topic in (Topic.CUSTOMERS, Topic.MODELS_READY, Topic.DEPLOY_COMMANDS, Topic.DEPLOY_EVENTS):
        topics[topic] = list(_heard(reader.read(topic), buried))
        progress(f"{topic}: {len(topics[topic])} events")
    deploy = sorted(topics[Topic.DEPLOY_EVENTS], key=lambda heard: heard.event.time)
    return Log(
        customers=topics[Topic.CUSTOMERS],
        ready=topics[Topic.MODELS_READY],
        commands=topics[Topic.DEPLOY_COMMANDS],
        deploy=deploy,
        rollouts=_by_rollout(deploy),
    )


def _heard(deliveries: Iterator[Delivery], buried: set[tuple[str, int, int]]) -> Iterator[Heard]:
    """In the order of the partitions' offsets, partitions merged by time: one customer's events keep their order."""
    latest: dict[int, int] = {}
    keyed = []
    for delivery in deliveries:
        # A producer's stamps may go back; the offsets never do.
        latest[delivery.partition] = max(latest.get(delivery.partition, 0), delivery.timestamp_ms)
        if (delivery.topic, delivery.partition, delivery.offset) not in buried:
            keyed.append((latest[delivery.partition], delivery.partition, delivery.offset, delivery))
    for stamp, partition, offset, delivery in sorted(keyed, key=lambda one: one[:3]):
        try:
            event = opened(delivery)
        except InvalidEvent:
            # Its consumer has not come to it yet, and will bury it.
            continue
        at = datetime.fromtimestamp(stamp / 1000, UTC)
        yield Heard(event=event, at=at, place=f"{delivery.topic} {partition}-{offset}")


def _by_rollout(deploy: Sequence[Heard]) -> dict[str, list[Heard]]:
    found: dict[str, dict[int, Heard]] = {}
    for heard in deploy:
        data = heard.event.data
        if isinstance(data, RolloutChanged):
            # Published at least once: of two the first counts.
            found.setdefault(data.rollout_id, {}).setdefault(data.sequence, heard)
    return {name: [lines[number] for number in sorted(lines)] for name, lines in found.items()}
