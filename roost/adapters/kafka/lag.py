"""How far each consumer group is behind, asked of the broker: true also while no consumer runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import TopicPartition, errors
from kafka.admin import OffsetSpec

from roost.adapters.kafka.admin import admin_client
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.event_rights import Group
from roost.settings import KafkaSettings

#: For a broker to find who keeps a group's offsets.
_COORDINATOR_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """One partition as one group has read it."""

    group: str
    topic: str
    partition: int
    #: The next offset to read; None where the group has committed nothing yet, and so begins with the oldest.
    committed: int | None
    end: int
    #: Events from there to the end.
    lag: int
    #: Processes that are in the group now; a partition waits where there is none.
    members: int


def lag(settings: KafkaSettings) -> Sequence[Behind]:
    """Every partition of each topic that Roost's own consumers read. Raises `BrokerUnavailable`."""
    with admin_client(settings) as client:
        return [row for group in Group for row in _of_group(client, settings, group)]


def _of_group(client: Any, settings: KafkaSettings, group: Group) -> list[Behind]:
    places = _partitions(client, settings, group.topic.value)
    ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    begins = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    offsets, members = _progress(client, group.value, places)
    return [
        Behind(
            group=group.value,
            topic=place.topic,
            partition=place.partition,
            committed=offsets.get(place),
            end=ends[place].offset,
            lag=max(0, ends[place].offset - offsets.get(place, begins[place].offset)),
            members=members,
        )
        for place in places
    ]


def _partitions(client: Any, settings: KafkaSettings, topic: str) -> list[TopicPartition]:
    [found] = client.describe_topics([topic])
    if found["error_code"] == errors.UnknownTopicOrPartitionError.errno:
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap} has no topic {topic}: run `roost topics ensure`")
    if found["error_code"]:
        raise errors.for_code(found["error_code"])([topic])
    return [TopicPartition(topic, number) for number in sorted(one["partition_index"] for one in found["partitions"])]


def _progress(client: Any, group: str, places: list[TopicPartition]) -> tuple[dict[TopicPartition, int], int]:
    """What the group has committed, and how many are in it."""
    until = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        try:
            found = client.list_group_offsets({group: places})[group]
            members = client.describe_groups([group])[group]["members"]
        except (errors.CoordinatorNotAvailableError, errors.CoordinatorLoadInProgressError, errors.NotCoordinatorError):
            # A broker makes the topic that keeps offsets only when the first group is asked for.
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return {place: one.offset for place, one in found.items() if one.offset >= 0}, len(members)
