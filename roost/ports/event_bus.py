"""The event bus: keyed, ordered, at least once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from roost.contracts.cloudevents import Event, Headers, Message
from roost.contracts.events import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    #: Milliseconds since 1970, as the broker stamped it.
    timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """How a topic shall be."""

    name: Topic
    partitions: int
    #: Milliseconds, -1 for ever.
    retention_ms: int
    replication: int = 1
    #: Replicas that must have a message before it is acknowledged: what one broker has alone may be lost with it.
    min_in_sync: int = 1


_DAY_MS: Final = 24 * 60 * 60 * 1000


def topics(*, partitions: int, replication: int) -> tuple[TopicSpec, ...]:
    """All of Roost's topics. Nobody compacts: each message is a fact of its own, and dead letters need no key."""
    days = {
        Topic.CUSTOMERS: 30,
        Topic.MODELS_READY: 30,
        Topic.DEPLOY_COMMANDS: 30,
        Topic.DEPLOY_EVENTS: 90,
        Topic.DEAD_LETTERS: 90,
    }
    return tuple(
        TopicSpec(
            name=name,
            partitions=partitions,
            retention_ms=kept * _DAY_MS,
            replication=replication,
            # All but one: one broker may be away.
            min_in_sync=max(1, replication - 1),
        )
        for name, kept in days.items()
    )


#: The topics with the settings' default partitions, without replicas: one machine.
TOPICS: Final = topics(partitions=6, replication=1)


class EventPublisher(Protocol):
    """Publishes and waits until the broker has it.

    Raises `BrokerUnavailable`; then the caller must publish again. Raises `Permanent` where the broker refuses the
    message for its size.
    """

    def publish(self, event: Event) -> None:
        """Publish one event to its topic, keyed by its subject; returns once all in-sync replicas have it."""

    def publish_all(self, events: Sequence[Event]) -> None:
        """The same for several, in order, waiting once. On an error any of them may have been published."""

    def send(self, topic: Topic, message: Message) -> None:
        """Publish raw bytes, as the dead letters need."""

    def close(self) -> None:
        """Flush and give the connections back."""


class EventSource(Protocol):
    """One member of a consumer group."""

    def poll(self, seconds: float) -> Sequence[Delivery]:
        """What has come, possibly nothing, waiting at most `seconds`. Raises `BrokerUnavailable`."""

    def commit(self, deliveries: Sequence[Delivery]) -> None:
        """Remember that these, and all before them in their partitions, are dealt with. Bounded in time.

        Raises `BrokerUnavailable`; then they come again, which must not matter.
        """

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """They could not be dealt with now: the next poll begins with the first of them in each partition."""

    def lag(self) -> dict[tuple[str, int], int]:
        """Messages behind the end of each assigned partition, by (topic, partition)."""

    def close(self) -> None:
        """Leave the group, so that others take the partitions over at once."""


class TopicReader(Protocol):
    """Looks into a topic without consuming it. Raises `BrokerUnavailable`."""

    def read(self, topic: Topic) -> Iterator[Delivery]:
        """Everything in the topic, oldest first within each partition, up to its end when this was called."""

    def at(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        """The message at that place, or None where there is none."""


class TopicAdmin(Protocol):
    """Creates topics."""

    def ensure(self, topics: Sequence[TopicSpec]) -> dict[str, str]:
        """Make each topic as specified; what is as it should be is left alone. Name to ``created|changed|unchanged``.

        Raises `BrokerUnavailable`, and `Permanent` where an existing topic cannot be brought there (fewer partitions).
        """
