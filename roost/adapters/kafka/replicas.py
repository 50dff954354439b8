"""Why a topic takes nothing while brokers answer: the client only says that it waited in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType

from roost.adapters.kafka.admin import IN_SYNC, admin_client
from roost.contracts.errors import RoostError
from roost.settings import KafkaSettings


def shortage(settings: KafkaSettings, topics: Sequence[str]) -> str | None:
    """The partition that has no leader, or fewer replicas in sync than it asks for, and which brokers it lacks.

    None where all is well, or where nobody answers that question either.
    """
    try:
        with admin_client(settings) as client:
            found = client.describe_topics(list(topics))
            asked = [ConfigResource(ConfigResourceType.TOPIC, topic, None) for topic in topics]
            configs = client.describe_configs(asked, config_filter="all")["topic"]
    except RoostError:
        return None
    return next(_lacking(found, configs), None)


def _lacking(found: Sequence[Mapping[str, Any]], configs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for topic in found:
        needed = int(configs.get(topic["name"], {}).get(IN_SYNC, {}).get("value") or 1)
        for one in topic["partitions"]:
            name = f"{topic['name']}-{one['partition_index']}"
            replicas, in_sync = set(one["replica_nodes"]), set(one["isr_nodes"])
            away = ", ".join(map(str, sorted(replicas - in_sync))) or "(none is named)"
            if one["leader_id"] < 0:
                yield f"partition {name} has no leader; bring back broker {', '.join(map(str, sorted(replicas)))}"
            elif len(in_sync) < needed:
                yield (
                    f"of partition {name}, {len(in_sync)} of {len(replicas)} replicas are in sync and {needed} must be "
                    f"({IN_SYNC}); bring back broker {away}"
                )
