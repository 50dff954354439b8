"""Topics: made as specified, and brought there where they exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from roost.adapters.kafka.connection import REQUEST_MS
from roost.adapters.kafka.witness import Witness
from roost.contracts.errors import BrokerUnavailable, Permanent
from roost.ports.event_bus import TopicSpec
from roost.settings import KafkaSettings


class KafkaTopics:
    """Implements `TopicAdmin`. Each call connects and leaves again."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings

    def ensure(self, topics: Sequence[TopicSpec]) -> dict[str, str]:
        """Make each topic as specified."""
        with admin_client(self._settings) as client:
            return {spec.name.value: _ensure(client, spec) for spec in topics}


def check_topics(settings: KafkaSettings, names: Sequence[str]) -> None:
    """Raises `BrokerUnavailable` where the broker is away or a topic missing, `BrokerRefused` where it is not ours."""
    with admin_client(settings) as client:
        found = client.describe_topics(list(names))
        hidden = [one["name"] for one in found if one["error_code"] == errors.TopicAuthorizationFailedError.errno]
        if hidden:
            raise errors.TopicAuthorizationFailedError(hidden)
    missing = [one["name"] for one in found if one["error_code"]]
    if missing:
        raise BrokerUnavailable(
            f"Kafka at {settings.bootstrap} has no topic {', '.join(missing)}: run `roost topics ensure`"
        )


@contextmanager
def admin_client(settings: KafkaSettings) -> Iterator[Any]:
    """A client for the block, its errors translated."""
    witness, client = Witness(settings), None
    try:
        client = witness.made(KafkaAdminClient, request_timeout_ms=REQUEST_MS)
        yield client
    except errors.KafkaError as error:
        raise witness.translated(error, "looking after topics") from error
    finally:
        if client is not None:
            client.close()


def _ensure(client: Any, spec: TopicSpec) -> str:
    [found] = client.describe_topics([spec.name.value])
    if found["error_code"] == errors.UnknownTopicOrPartitionError.errno:
        try:
            _create(client, spec)
        except errors.TopicAlreadyExistsError:
            # Somebody else made it meanwhile: it is looked at like any other.
            [found] = client.describe_topics([spec.name.value])
        else:
            return "created"
    if found["error_code"] == errors.TopicAuthorizationFailedError.errno:
        raise errors.TopicAuthorizationFailedError([spec.name.value])
    if found["error_code"]:
        raise BrokerUnavailable(f"Kafka cannot describe topic {spec.name}: {errors.for_code(found['error_code'])}")
    grown = _grow(client, spec, len(found["partitions"]))
    kept = _keep(client, spec)
    return "changed" if grown or kept else "unchanged"


def _create(client: Any, spec: TopicSpec) -> None:
    topic = NewTopic(
        name=spec.name.value,
        num_partitions=spec.partitions,
        replication_factor=spec.replication,
        topic_configs={"retention.ms": str(spec.retention_ms)},
    )
    try:
        client.create_topics([topic], timeout_ms=REQUEST_MS)
    except (errors.InvalidReplicationFactorError, errors.PolicyViolationError) as error:
        raise Permanent(
            f"Kafka refuses topic {spec.name} with {spec.replication} replicas "
            f"(ROOST_KAFKA__REPLICATION): {type(error).__name__}"
        ) from error


def _grow(client: Any, spec: TopicSpec, partitions: int) -> bool:
    if partitions == spec.partitions:
        return False
    if partitions > spec.partitions:
        raise Permanent(
            f"topic {spec.name} has {partitions} partitions and cannot have fewer: "
            f"set ROOST_KAFKA__PARTITIONS={partitions}, or make it anew"
        )
    try:
        client.create_partitions({spec.name.value: spec.partitions}, timeout_ms=REQUEST_MS)
    except errors.IncompatibleBrokerVersion as error:
        raise Permanent(f"this broker cannot add partitions to topic {spec.name}: make it anew") from error
    return True


def _keep(client: Any, spec: TopicSpec) -> bool:
    name, wanted = spec.name.value, str(spec.retention_ms)
    described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, None)], config_filter="all")
    found = described["topic"][name].get("retention.ms", {}).get("value")
    if found == wanted:
        return False
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": wanted})])
    return True
