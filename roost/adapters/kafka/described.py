"""How topics are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType

from roost.adapters.kafka.admin import IN_SYNC, admin_client
from roost.contracts.events import Topic
from roost.ports.event_bus import TopicSpec
from roost.settings import KafkaSettings


def described(settings: KafkaSettings, names: Sequence[Topic]) -> Mapping[str, TopicSpec]:
    """Those of the topics that are there, by name, as they are. Raises `BrokerUnavailable`, or its `BrokerRefused`."""
    with admin_client(settings) as client:
        found = client.describe_topics([name.value for name in names])
        hidden = [one["name"] for one in found if one["error_code"] == errors.TopicAuthorizationFailedError.errno]
        if hidden:
            raise errors.TopicAuthorizationFailedError(hidden)
        there = {one["name"]: one["partitions"] for one in found if not one["error_code"]}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in there]
        configs = client.describe_configs(asked, config_filter="all")["topic"] if asked else {}
    return {
        name: TopicSpec(
            name=Topic(name),
            partitions=len(partitions),
            # Of the partition that has the fewest: that one is lost first.
            replication=min((len(one.get("replica_nodes") or ()) for one in partitions), default=0),
            retention_ms=int(configs[name].get("retention.ms", {}).get("value") or -1),
            min_in_sync=int(configs[name].get(IN_SYNC, {}).get("value") or 1),
        )
        for name, partitions in there.items()
    }


def planned(settings: KafkaSettings, topics: Sequence[TopicSpec]) -> dict[str, str]:
    """What `KafkaTopics.ensure` would do, as it would say it. Raises `BrokerUnavailable`."""
    there = described(settings, [spec.name for spec in topics])
    return {spec.name.value: _planned(spec, there.get(spec.name.value)) for spec in topics}


def _planned(spec: TopicSpec, found: TopicSpec | None) -> str:
    if found is None:
        return "created"
    same = (found.partitions, found.retention_ms) == (spec.partitions, spec.retention_ms)
    same = same and found.min_in_sync >= min(spec.min_in_sync, max(1, found.replication - 1))
    return "unchanged" if same else "changed"
