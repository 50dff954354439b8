"""Three brokers that are killed and come back, and what their own administration says of them meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from roost.adapters.kafka import open_admin, open_reader
from roost.adapters.kafka.admin import admin_client
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import Topic
from roost.embedded.apache_kafka import Brokers, Layout, Node
from roost.ports.event_bus import topics
from roost.settings import KafkaSettings
from tests.kafka.history import order_of

PARTITIONS: Final = 6
LAYOUT: Final = Layout(nodes=3, heap_mb=256)


def until(what: str, holds: Callable[[], Any], seconds: float = 240) -> Any:
    """The first true value of `holds`, which may find Kafka away."""
    end = time.monotonic() + seconds
    found: object = None
    while time.monotonic() < end:
        try:
            found = holds()
        except BrokerUnavailable as error:
            found = None
            said: object = error
        else:
            said = found
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {said}")


class ThreeBrokers:
    """A cluster with Roost's topics on all three."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self.settings = KafkaSettings(
            bootstrap=brokers.bootstrap(),
            partitions=PARTITIONS,
            replication=3,
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
        )

    def whole(self) -> None:
        """Every node runs, every topic is there as specified and is in sync on all."""
        self._brokers.start()
        wanted = topics(partitions=PARTITIONS, replication=3)
        until("topics can be made", lambda: open_admin(self.settings).ensure(wanted))
        for topic in Topic:
            self.until_in_sync(topic, 3)

    def node(self, number: int) -> Node:
        """By its id."""
        return next(node for node in self._brokers.nodes if node.number == number)

    def partitions(self, topic: Topic) -> list[Mapping[str, Any]]:
        """Each partition with its leader and who is in sync."""
        with admin_client(self.settings) as client:
            [found] = client.describe_topics([topic.value])
        return list(found["partitions"])

    def busiest(self, topic: Topic) -> Node:
        """The node that leads most of the topic's partitions."""
        leaders = Counter(one["leader_id"] for one in until("somebody tells", lambda: self.partitions(topic)))
        return self.node(leaders.most_common(1)[0][0])

    def until_led_by_others(self, topic: Topic, gone: Node) -> None:
        """Every partition has a leader, and none is the node that is gone."""
        until(
            f"others lead {topic} instead of {gone.number}",
            lambda: all(one["leader_id"] not in {-1, gone.number} for one in self.partitions(topic)),
        )

    def until_in_sync(self, topic: Topic, count: int) -> None:
        """So many replicas of each partition are in sync."""
        until(
            f"{count} replicas of {topic} are in sync",
            lambda: all(len(one["isr_nodes"]) == count for one in self.partitions(topic)),
        )

    def order_of(self, topic: Topic) -> dict[str, list[str]]:
        """Each customer's events by their ids, as the log has them."""
        found: dict[str, list[str]] = until(
            f"{topic} can be read", lambda: order_of(open_reader(self.settings).read(topic))
        )
        return found

    def configure(self, topic: Topic, settings: Mapping[str, str]) -> None:
        """Alter a topic's settings."""
        until("the setting is taken", lambda: self._configured(topic, settings))

    def _configured(self, topic: Topic, settings: Mapping[str, str]) -> bool:
        from kafka.admin import ConfigResource, ConfigResourceType

        with admin_client(self.settings) as client:
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.value, dict(settings))])
        return True
