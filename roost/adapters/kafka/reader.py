"""Reading a topic from its beginning to its present end, as nobody's group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition, errors

from roost.adapters.kafka.admin import check_topics
from roost.adapters.kafka.source import delivery_of
from roost.adapters.kafka.witness import Witness
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import Topic
from roost.ports.event_bus import Delivery
from roost.settings import KafkaSettings

_END_MS: Final = 10_000


class KafkaReader:
    """Implements `TopicReader`. Each call connects and leaves again."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings

    def read(self, topic: Topic) -> Iterator[Delivery]:
        """Everything in the topic, oldest first within each partition, up to its end when this was called."""
        with self._consumer(topic) as consumer:
            places = [TopicPartition(topic.value, number) for number in consumer.partitions_for_topic(topic.value)]
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places, timeout_ms=_END_MS)
            # Once more after the end, since the embedded broker reports an end within the last batch.
            while (found := consumer.poll(timeout_ms=500)) or any(
                (consumer.position(place, timeout_ms=_END_MS) or 0) < end for place, end in ends.items()
            ):
                yield from (delivery_of(record) for records in found.values() for record in records)

    def at(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        """The message at that place, or None where there is none."""
        with self._consumer(topic) as consumer:
            if partition not in consumer.partitions_for_topic(topic.value):
                return None
            place = TopicPartition(topic.value, partition)
            consumer.assign([place])
            [first], [end] = (
                ends.values() for ends in (consumer.beginning_offsets([place]), consumer.end_offsets([place]))
            )
            if offset < first:
                return None
            consumer.seek(place, min(offset, end))
            for _ in range(3):
                for record in consumer.poll(timeout_ms=1_000).get(place, ()):
                    if record.offset == offset:
                        return delivery_of(record)
            return None

    @contextmanager
    def _consumer(self, topic: Topic) -> Iterator[Any]:
        witness, consumer = Witness(self._settings), None
        try:
            consumer = witness.made(
                KafkaConsumer,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
            )
            if not consumer.partitions_for_topic(topic.value):
                # Missing, or not ours to see: the client does not tell them apart.
                check_topics(self._settings, [topic.value])
                raise BrokerUnavailable(
                    f"Kafka at {self._settings.bootstrap} has no topic {topic}: run `roost topics ensure`"
                )
            yield consumer
        except errors.KafkaError as error:
            raise witness.translated(error, f"reading {topic}") from error
        finally:
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1_000)
