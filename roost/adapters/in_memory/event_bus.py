"""An event bus in memory: partitions by key, groups with committed offsets, all of it gone with the process."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from roost.contracts.cloudevents import Event, Message, encode
from roost.contracts.errors import BrokerUnavailable, Permanent
from roost.contracts.events import Topic
from roost.ports.clock import Clock
from roost.ports.event_bus import Delivery, TopicSpec

#: The broker's own default limit of one message with its headers. Bytes.
MAX_MESSAGE_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Log:
    spec: TopicSpec
    partitions: list[list[Delivery]]


@dataclass(slots=True)
class InMemoryBus:
    """The broker. Publishers, sources and admin are made from it; `reachable` False is a broker that is away."""

    clock: Clock
    reachable: bool = True
    logs: dict[str, _Log] = field(default_factory=dict)
    #: (group, topic, partition) to the next offset.
    offsets: dict[tuple[str, str, int], int] = field(default_factory=dict)
    members: dict[str, list[InMemorySource]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def publisher(self) -> InMemoryPublisher:
        """A publisher to this bus."""
        return InMemoryPublisher(self)

    def source(self, topics: Sequence[Topic], group: str) -> InMemorySource:
        """A member of `group`; partitions are shared out anew."""
        return InMemorySource(self, topics, group)

    def ensure(self, topics: Sequence[TopicSpec]) -> dict[str, str]:
        """Implements `TopicAdmin`."""
        self.check()
        with self.changed:
            return {spec.name.value: self._ensure(spec) for spec in topics}

    def forget(self) -> None:
        """What a restart of a broker that keeps nothing does: topics, offsets and groups are gone."""
        with self.changed:
            self.logs.clear()
            self.offsets.clear()

    def check(self) -> None:
        """Raises `BrokerUnavailable` where the broker is away."""
        if not self.reachable:
            raise BrokerUnavailable("the bus does not answer")

    def append(self, topic: Topic, message: Message) -> None:
        """Put one message at the end of its key's partition."""
        self.check()
        size = len(message.value) + len(message.key) + sum(len(name) + len(text) for name, text in message.headers)
        if size > MAX_MESSAGE_BYTES:
            raise Permanent(f"the bus refuses a message of {size} bytes for its size")
        with self.changed:
            log = self.logs.get(topic.value)
            if log is None:
                raise BrokerUnavailable(f"topic {topic} is missing: run `roost topics ensure`")
            number = zlib.crc32(message.key) % len(log.partitions)
            self.put(topic.value, number, message.key, message.value, message.headers)

    def put(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append as it is, whatever it is: what a careless producer might send."""
        with self.changed:
            held = self.logs[topic].partitions[partition]
            stamp = int(self.clock.now().timestamp() * 1000)
            held.append(
                Delivery(
                    topic=topic,
                    partition=partition,
                    offset=len(held),
                    key=key,
                    value=value,
                    headers=tuple(headers),
                    timestamp_ms=stamp,
                )
            )
            self.changed.notify_all()

    def read(self, topic: Topic) -> Iterator[Delivery]:
        """Implements `TopicReader`: everything in a topic, partition by partition."""
        self.check()
        with self.changed:
            log = self.logs.get(topic.value)
            if log is None:
                raise BrokerUnavailable(f"topic {topic} is missing: run `roost topics ensure`")
            return iter([one for held in log.partitions for one in held])

    def at(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        """Implements `TopicReader`."""
        found = (one for one in self.read(topic) if (one.partition, one.offset) == (partition, offset))
        return next(found, None)

    def _ensure(self, spec: TopicSpec) -> str:
        log = self.logs.get(spec.name.value)
        if log is None:
            self.logs[spec.name.value] = _Log(spec, [[] for _ in range(spec.partitions)])
            return "created"
        if spec.partitions < len(log.partitions):
            raise Permanent(f"topic {spec.name} has {len(log.partitions)} partitions and cannot have fewer")
        changed = log.spec != spec
        log.spec = spec
        log.partitions.extend([] for _ in range(spec.partitions - len(log.partitions)))
        return "changed" if changed else "unchanged"


class InMemoryPublisher:
    """Implements `EventPublisher`."""

    def __init__(self, bus: InMemoryBus) -> None:
        """Publish to `bus`."""
        self._bus = bus

    def publish(self, event: Event) -> None:
        """Publish one event."""
        self.send(event.topic, encode(event))

    def publish_all(self, events: Sequence[Event]) -> None:
        """Publish several in order."""
        for event in events:
            self.publish(event)

    def send(self, topic: Topic, message: Message) -> None:
        """Publish raw bytes."""
        self._bus.append(topic, message)

    def close(self) -> None:
        """Nothing to give back."""


class InMemorySource:
    """Implements `EventSource`. Partitions are shared out among the group's members in turn."""

    def __init__(self, bus: InMemoryBus, topics: Sequence[Topic], group: str) -> None:
        """Join the group."""
        self._bus, self._topics, self._group = bus, [topic.value for topic in topics], group
        self.positions: dict[tuple[str, int], int] = {}
        with bus.changed:
            bus.members.setdefault(group, []).append(self)
            self._restart_group()

    def poll(self, seconds: float) -> Sequence[Delivery]:
        """What has come, waiting at most `seconds` of real time."""
        self._bus.check()
        with self._bus.changed:
            self._bus.changed.wait_for(lambda: bool(self._ready()), timeout=seconds)
            found = self._ready()
            for one in found:
                self.positions[(one.topic, one.partition)] = one.offset + 1
            return found

    def commit(self, deliveries: Sequence[Delivery]) -> None:
        """Remember that these are dealt with."""
        self._bus.check()
        with self._bus.changed:
            for one in deliveries:
                key = (self._group, one.topic, one.partition)
                self._bus.offsets[key] = max(self._bus.offsets.get(key, 0), one.offset + 1)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Poll these again."""
        for one in deliveries:
            place = (one.topic, one.partition)
            self.positions[place] = min(self.positions.get(place, one.offset), one.offset)

    def lag(self) -> dict[tuple[str, int], int]:
        """Messages behind the end of each partition of ours."""
        self._bus.check()
        with self._bus.changed:
            return {(topic, number): len(held) - self._position(topic, number) for topic, number, held in self._mine()}

    def close(self) -> None:
        """Leave the group."""
        with self._bus.changed:
            members = self._bus.members.get(self._group, [])
            if self in members:
                members.remove(self)
                self._restart_group()

    def _ready(self) -> list[Delivery]:
        return [one for topic, number, held in self._mine() for one in held[self._position(topic, number) :]]

    def _position(self, topic: str, number: int) -> int:
        committed = self._bus.offsets.get((self._group, topic, number), 0)
        position = self.positions.get((topic, number), committed)
        # Beyond the end: the broker forgot everything, so begin again, as Kafka's client does.
        return position if position <= len(self._bus.logs[topic].partitions[number]) else 0

    def _mine(self) -> list[tuple[str, int, list[Delivery]]]:
        members = self._bus.members.get(self._group, [])
        if self not in members:
            return []
        turn = members.index(self)
        return [
            (topic, number, held)
            for topic in self._topics
            if topic in self._bus.logs
            for number, held in enumerate(self._bus.logs[topic].partitions)
            if number % len(members) == turn
        ]

    def _restart_group(self) -> None:
        for member in self._bus.members.get(self._group, []):
            member.positions.clear()
