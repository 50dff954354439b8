"""What the broker lets this client do: asked without trying, and without the right to see anybody's ACLs (KIP-430)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import errors

from roost.adapters.kafka.acls import principal
from roost.adapters.kafka.admin import admin_client
from roost.contracts.event_rights import Account
from roost.contracts.events import Topic
from roost.settings import KafkaSettings

#: Seconds.
_FIRST_GROUP: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Operations in Kafka's words, small letters, with those that others imply."""

    #: By name. Topics and groups that are not there yet are left out; those that may not be seen have none.
    topics: Mapping[str, frozenset[str]]
    groups: Mapping[str, frozenset[str]]
    cluster: frozenset[str]


def allowed(settings: KafkaSettings, topics: Sequence[Topic], groups: Sequence[str]) -> Allowed:
    """Ask the broker. Raises `BrokerUnavailable`."""
    with admin_client(settings) as client:
        found = client.describe_topics([topic.value for topic in topics])
        seen = [one for one in found if one["error_code"] != errors.UnknownTopicOrPartitionError.errno]
        return Allowed(
            topics={one["name"]: _operations(one["authorized_operations"]) for one in seen},
            groups={name: held for name in groups if (held := _in_group(client, name)) is not None},
            cluster=_operations(client.describe_cluster().get("authorized_operations")),
        )


def account_of(settings: KafkaSettings) -> Account | None:
    """Whose login the settings have; None for a name that is none of Roost's, and for a certificate."""
    who = f"User:{settings.sasl_username}"
    named = settings.security_protocol.startswith("SASL")
    return next((one for one in Account if named and principal(settings, one) == who), None)


def _in_group(client: Any, group: str) -> frozenset[str] | None:
    until = time.monotonic() + _FIRST_GROUP
    while True:
        try:
            found = client.describe_groups([group])[group]["authorized_operations"]
        except errors.GroupAuthorizationFailedError:
            return frozenset()
        except errors.CoordinatorNotAvailableError:
            # The first question about any group makes the broker create its topic of offsets.
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return None if found is None else _operations(found)


def _operations(names: Iterable[str] | None) -> frozenset[str]:
    return frozenset(name.lower() for name in names or ())
