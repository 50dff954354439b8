"""Apache Kafka, by kafka-python. Nothing connects before it is used."""

from __future__ import annotations

from collections.abc import Sequence

from roost.adapters.kafka.acls import AclReport, ensure_acls, principal
from roost.adapters.kafka.admin import KafkaTopics
from roost.adapters.kafka.lag import Behind, lag
from roost.adapters.kafka.publisher import KafkaPublisher
from roost.adapters.kafka.reader import KafkaReader
from roost.adapters.kafka.source import KafkaSource
from roost.contracts.events import Topic
from roost.settings import KafkaSettings

__all__ = [
    "AclReport",
    "Behind",
    "KafkaPublisher",
    "KafkaReader",
    "KafkaSource",
    "KafkaTopics",
    "ensure_acls",
    "lag",
    "open_admin",
    "open_publisher",
    "open_reader",
    "open_source",
    "principal",
]


def open_publisher(settings: KafkaSettings) -> KafkaPublisher:
    """A publisher that waits for the acknowledgement of all in-sync replicas."""
    return KafkaPublisher(settings)


def open_source(settings: KafkaSettings, topics: Sequence[Topic], group: str) -> KafkaSource:
    """A member of `group` that reads `topics`."""
    return KafkaSource(settings, topics, group)


def open_admin(settings: KafkaSettings) -> KafkaTopics:
    """Creates topics and brings them to their specification."""
    return KafkaTopics(settings)


def open_reader(settings: KafkaSettings) -> KafkaReader:
    """Reads whole topics without joining a group."""
    return KafkaReader(settings)
