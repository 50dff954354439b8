"""Topics: made as specified, and brought there where they exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaAdminClient, errors
from kafka.admin import ACLOperation, ConfigResource, ConfigResourceType, NewTopic

from roost.adapters.kafka.connection import REQUEST_MS
from roost.adapters.kafka.witness import Witness
from roost.contracts.errors import BrokerUnavailable, Permanent
from roost.ports.event_bus import TopicSpec
from roost.settings import KafkaSettings

#: The topic's setting that says how many replicas must have a message.
IN_SYNC: Final = "min.insync.replicas"
_RIGHTS: Final = frozenset(int(one) for one in ACLOperation)


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


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # the library has no types
    """The library's own ends on a right that it has no name for; the local stack's small broker grants all 32."""

    def _process_acl_operations(self, obj: dict[str, Any]) -> Any:
        if (bits := obj.get("authorized_operations")) is not None:
            obj["authorized_operations"] = [bit for bit in bits if bit in _RIGHTS]
        return super()._process_acl_operations(obj)


@contextmanager
def admin_client(settings: KafkaSettings) -> Iterator[Any]:
    """A client for the block, its errors translated."""
    witness, client = Witness(settings), None
    try:
        client = witness.made(_Admin, request_timeout_ms=REQUEST_MS)
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
    # A topic that was made with fewer replicas would take nothing any more if it had to wait for all of ours.
    copies = min((len(one.get("replica_nodes") or ()) for one in found["partitions"]), default=1)
    configured = _configure(client, spec, in_sync=min(spec.min_in_sync, max(1, copies - 1)))
    return "changed" if grown or configured else "unchanged"


def _create(client: Any, spec: TopicSpec) -> None:
    topic = NewTopic(
        name=spec.name.value,
        num_partitions=spec.partitions,
        replication_factor=spec.replication,
        topic_configs={"retention.ms": str(spec.retention_ms), IN_SYNC: str(spec.min_in_sync)},
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


def _configure(client: Any, spec: TopicSpec, *, in_sync: int) -> bool:
    name = spec.name.value
    described = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, None)], config_filter="all")
    found = {key: one.get("value") for key, one in described["topic"][name].items()}
    wanted: dict[str, str] = {}
    if found.get("retention.ms") != str(spec.retention_ms):
        wanted["retention.ms"] = str(spec.retention_ms)
    # Whoever asks for more than we do has their reasons.
    if int(found.get(IN_SYNC) or 1) < in_sync:
        wanted[IN_SYNC] = str(in_sync)
    if wanted:
        _alter(client, name, wanted)
    return bool(wanted)


def _alter(client: Any, name: str, wanted: dict[str, str]) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, name, wanted)
    # Not by looking at the settings first: whoever may change them need not be one who may see them.
    said = client.alter_configs([resource], raise_on_unknown=False)["topic"][name]
    # The client raises for whole requests only; what the broker says of one topic it hands over as text.
    if errors.TopicAuthorizationFailedError.__name__ in said:
        raise errors.TopicAuthorizationFailedError([name])
    if said != "OK":
        settings = ", ".join(f"{key}={value}" for key, value in wanted.items())
        raise Permanent(f"Kafka does not take {settings} for topic {name}: {said}")
