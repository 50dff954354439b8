"""Apache Kafka as Roost brings it: one process, several lives, the same storage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roost.adapters.kafka import open_admin, open_publisher, open_reader
from roost.contracts.cloudevents import Message
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import Topic
from roost.embedded.apache_kafka import Brokers, Layout
from roost.ports.event_bus import topics
from roost.settings import KafkaSettings

pytestmark = pytest.mark.kafka


def test_what_was_acknowledged_is_there_after_a_kill(start_brokers: Callable[[Layout], Brokers]) -> None:
    brokers = start_brokers(Layout())
    settings = KafkaSettings(bootstrap=brokers.bootstrap(), partitions=1)
    open_admin(settings).ensure(topics(partitions=1, replication=1))
    publisher = open_publisher(settings)
    publisher.send(Topic.CUSTOMERS, Message(key=b"k", value=b"v", headers=()))
    publisher.close()
    [node] = brokers.nodes
    node.kill()
    node.start()
    assert [one.value for one in open_reader(settings).read(Topic.CUSTOMERS)] == [b"v"]
    node.kill()


def test_a_property_that_kafka_refuses_is_quoted(start_brokers: Callable[[Layout], Brokers]) -> None:
    with pytest.raises(BrokerUnavailable, match=r"node 1 ended(.|\n)*no\.such\.Authorizer"):
        start_brokers(Layout(extras={"authorizer.class.name": "no.such.Authorizer"}))
