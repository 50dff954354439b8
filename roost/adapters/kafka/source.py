"""Consuming: one member of a group, offsets committed by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

from roost.adapters.kafka.admin import check_topics
from roost.adapters.kafka.witness import Witness
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import Topic
from roost.ports.event_bus import Delivery
from roost.settings import KafkaSettings

#: A commit without a limit would be tried for ever. Milliseconds.
_COMMIT_MS: Final = 10_000
_LAG_MS: Final = 3_000
_FIRST_PATIENCE: Final = 5.0
_LONGEST_PATIENCE: Final = 600.0
_BATCH: Final = 200
#: Seconds without a delivery after which messages that wait for us are taken for a client that is stuck.
_SILENCE: Final = 10.0
#: How soon a topic that was made (again) is found. Milliseconds.
_METADATA_MS: Final = 2_000


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # the base ships no types
    """Whether joining the group has come to an end.

    Leaving in the midst of a join leaves a member behind in the embedded broker's group that nobody is, and for which
    everybody waits. So nobody leaves before they have joined.
    """

    def __init__(self) -> None:
        self.settled = False

    def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002  # the client's signature
        """Joined, be it with no partition at all."""
        self.settled = True

    def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002  # the client's signature
        """Joining begins, perhaps again."""
        self.settled = False


class KafkaSource:
    """Implements `EventSource`. For one thread. Joins the group at the first poll.

    A group that has no offset yet, or whose offset the broker no longer has, begins with the oldest message: handling
    one twice changes nothing, and missing one would.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[Topic], group: str) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._topics = tuple(topic.value for topic in topics)
        self._group = group
        self._membership = _Membership()
        self._witness = Witness(settings)
        self._patience = _FIRST_PATIENCE
        self._idle_since: float | None = None
        #: Since when every poll was empty.
        self._empty_since: float | None = None
        # The client ships no types.
        self._consumer: Any = None

    def poll(self, seconds: float) -> Sequence[Delivery]:
        """What has come, waiting at most `seconds`, longer only while connecting."""
        try:
            batches = self._open().poll(timeout_ms=int(seconds * 1000), max_records=_BATCH)
            self._mind_assignment()
        except errors.KafkaError as error:
            self._discard()
            raise self._witness.translated(error, "polling") from error
        if batches:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = time.monotonic()
        return [delivery_of(record) for records in batches.values() for record in records]

    def _mind_assignment(self) -> None:
        """Join anew where we have joined and no partition has been ours for long.

        A member that joins while its topic does not exist, as after a restart of the embedded broker, is given nothing
        and may stay so when the topic is made (kafka-python 3.0.12). A member with nothing to do since others have all
        partitions looks the same; the pause doubles each time, so that it seldom disturbs them.
        """
        now = time.monotonic()
        if self._consumer.assignment():
            self._idle_since, self._patience = None, _FIRST_PATIENCE
        elif not self._membership.settled:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > self._patience:
            self._patience = min(_LONGEST_PATIENCE, 2 * self._patience)
            self._discard()

    def commit(self, deliveries: Sequence[Delivery]) -> None:
        """Remember that these are dealt with."""
        ends: dict[TopicPartition, int] = {}
        for one in deliveries:
            place = TopicPartition(one.topic, one.partition)
            ends[place] = max(ends.get(place, 0), one.offset + 1)
        if not ends:
            return
        offsets = {place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()}
        try:
            self._open().commit(offsets, timeout_ms=_COMMIT_MS)
        except errors.CommitFailedError as error:
            raise BrokerUnavailable("the group was rebalanced before the commit; the events come again") from error
        except errors.KafkaError as error:
            raise self._witness.translated(error, "committing offsets") from error

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Poll these again: the position goes back to the first of each partition."""
        starts: dict[TopicPartition, int] = {}
        for one in deliveries:
            place = TopicPartition(one.topic, one.partition)
            starts[place] = min(starts.get(place, one.offset), one.offset)
        assigned = self._consumer.assignment() if self._consumer is not None else set()
        for place, start in starts.items():
            # Of a partition that went to another member, that member begins at the last commit.
            if place in assigned:
                self._consumer.seek(place, start)

    def lag(self) -> dict[tuple[str, int], int]:
        """Messages behind the end of each assigned partition."""
        if self._consumer is None:
            return {}
        try:
            assigned = self._consumer.assignment()
            if not assigned:
                self._check()
                return {}
            ends = self._consumer.end_offsets(list(assigned), timeout_ms=_LAG_MS)
            behind = {(place.topic, place.partition): self._behind(place, end) for place, end in ends.items()}
        except errors.KafkaError as error:
            # A broker that came back empty leaves us our partitions, and the client asks for their ends in silence.
            self._check()
            raise self._witness.translated(error, "measuring lag") from error
        self._mind_silence(behind)
        return behind

    def _mind_silence(self, behind: dict[tuple[str, int], int]) -> None:
        """Join anew where messages wait in our partitions and polls bring none.

        Seen with kafka-python 3.0.12 after the embedded broker came back empty: the member kept its partitions, knew
        the new ends, and fetched nothing for ever.
        """
        silent = self._empty_since is not None and time.monotonic() - self._empty_since > _SILENCE
        if silent and any(behind.values()):
            self._discard()
            raise BrokerUnavailable(
                f"Kafka at {self._settings.bootstrap} holds {sum(behind.values())} events for us and brings none: "
                "joining the group anew"
            )

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=5_000)

    def _check(self) -> None:
        """Why there is silence: others have all, the broker is away, or a topic is missing. The client does not say."""
        try:
            check_topics(self._settings, self._topics)
        except BrokerUnavailable:
            if self._membership.settled:
                self._discard()
            raise

    def _behind(self, place: TopicPartition, end: int) -> int:
        # The embedded broker counts a batch as one message when asked for the end; its fetches tell the truth.
        known = max(end, self._consumer.highwater(place) or 0)
        return max(0, known - (self._consumer.position(place, timeout_ms=1_000) or 0))

    def _open(self) -> Any:
        if self._consumer is None:
            check_topics(self._settings, self._topics)
            self._membership, self._witness = _Membership(), Witness(self._settings)
            self._consumer = self._witness.made(
                KafkaConsumer,
                metadata_max_age_ms=_METADATA_MS,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=self._settings.session_timeout_ms,
                heartbeat_interval_ms=self._settings.heartbeat_interval_ms,
                fetch_max_wait_ms=100,
            )
            self._consumer.subscribe(self._topics, listener=self._membership)
            # Once subscribed, and before it joins: a member that hears of partitions after it joined joins again, and
            # where a poll ends in the midst of that, the client (3.0.12) never takes up what it was given.
            for topic in self._topics:
                self._consumer.partitions_for_topic(topic)
        return self._consumer

    def _discard(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._idle_since = self._empty_since = None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=1_000)


def delivery_of(record: Any) -> Delivery:
    """The client's record as ours."""
    return Delivery(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple((name, content or b"") for name, content in record.headers or ()),
        timestamp_ms=record.timestamp,
    )
