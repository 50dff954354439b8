"""Publishing: idempotent, acknowledged by all in-sync replicas, bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from kafka import KafkaProducer, errors

from roost.adapters.kafka.connection import REQUEST_MS
from roost.adapters.kafka.replicas import shortage
from roost.adapters.kafka.witness import Witness
from roost.contracts.cloudevents import Event, Message, encode
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import Topic
from roost.settings import KafkaSettings

#: From `send` to the acknowledgement, all retries within. Seconds.
_DELIVERY_SECONDS: Final = 20.0
_METADATA_SECONDS: Final = 8.0


class KafkaPublisher:
    """Implements `EventPublisher`. Safe to share between threads.

    After any error the client is thrown away and made anew at the next call: a broker that has forgotten the
    producer's id, or has come back elsewhere, then needs nobody's help.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._witness = Witness(settings)
        # The client ships no types.
        self._producer: Any = None

    def publish(self, event: Event) -> None:
        """Publish one event; returns once it is acknowledged."""
        self.publish_all([event])

    def publish_all(self, events: Sequence[Event]) -> None:
        """Publish several in order, waiting once."""
        self._deliver([(event.topic, encode(event)) for event in events])

    def send(self, topic: Topic, message: Message) -> None:
        """Publish raw bytes; returns once they are acknowledged."""
        self._deliver([(topic, message)])

    def close(self) -> None:
        """Flush and give the connections back."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, seconds=5)

    def _deliver(self, messages: Sequence[tuple[Topic, Message]]) -> None:
        try:
            producer = self._open()
            until = time.monotonic() + _DELIVERY_SECONDS
            waiting = [
                producer.send(topic.value, key=message.key, value=message.value, headers=list(message.headers))
                for topic, message in messages
            ]
            for future in waiting:
                future.get(timeout=max(0.1, until - time.monotonic()))
        except errors.KafkaError as error:
            self._discard()
            raise self._explained(error, messages) from error

    def _open(self) -> Any:
        with self._lock:
            if self._producer is None:
                self._witness = Witness(self._settings)
                self._producer = self._witness.made(
                    KafkaProducer,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    batch_size=self._settings.batch_bytes,
                    max_block_ms=int(_METADATA_SECONDS * 1000),
                    request_timeout_ms=REQUEST_MS,
                    delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
                )
            return self._producer

    def _discard(self) -> None:
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer, seconds=0)

    def _explained(self, error: errors.KafkaError, messages: Sequence[tuple[Topic, Message]]) -> Exception:
        topics = ", ".join(sorted({topic.value for topic, _ in messages}))
        unknown = isinstance(error, errors.KafkaTimeoutError) and "metadata" in str(error).lower()
        if unknown and self._witness.refused is None:
            return BrokerUnavailable(
                f"Kafka at {self._settings.bootstrap} does not know {topics}, or does not answer ({error}): "
                "run `roost topics ensure`"
            )
        if isinstance(error, errors.KafkaTimeoutError) and self._witness.refused is None:
            lacking = shortage(self._settings, sorted({topic.value for topic, _ in messages}))
            if lacking is not None:
                return BrokerUnavailable(f"Kafka at {self._settings.bootstrap} takes nothing for {topics}: {lacking}")
        return self._witness.translated(error, f"publishing to {topics}")


def _close(producer: Any, *, seconds: float) -> None:
    """End the producer. What it could not deliver was reported to its caller, who publishes again."""
    try:
        producer.close(timeout=seconds)
    except errors.KafkaError:
        # A flush that fails leaves the client's close half done (kafka-python 3.0.12): a broker that died with events
        # under way ended the deployer so. Its sender would try for ever.
        producer._sender.force_close()  # noqa: SLF001 (the client offers no other end without a flush)
