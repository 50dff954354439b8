"""The broker's access control lists: made from the duties of Roost's accounts, compared with what is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka import errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from roost.adapters.kafka.admin import admin_client
from roost.contracts.errors import BrokerUnavailable, Permanent
from roost.contracts.event_rights import DUTIES, Account, Group, Operation, Resource, Right, said
from roost.contracts.events import Topic
from roost.settings import KafkaSettings

#: How long a broker may take to learn of an ACL that the controller has taken. Seconds.
_SETTLE: Final = 20.0
_LOOK_EVERY: Final = 0.1
#: Kafka's own name of the cluster as a resource.
_CLUSTER: Final = "kafka-cluster"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Entry:
    """One ACL, in words. `operation` is Kafka's, in small letters."""

    principal: str
    operation: str
    resource: str
    #: A trailing ``*`` stands for all that begin so; ``*`` alone for all.
    name: str
    host: str = "*"
    allows: bool = True

    def __str__(self) -> str:
        word = "may" if self.allows else "may not"
        where = "" if self.host == "*" else f" from {self.host}"
        return f"{self.principal} {word} {said(self.operation)} {self.resource} {self.name}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AclReport:
    """What was found and done."""

    #: Made now; with a dry run: that would be.
    created: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    #: Of Roost's accounts, beyond their duties.
    surplus: tuple[Entry, ...]
    #: Of others, on Roost's topics and groups.
    others: tuple[Entry, ...]


def principal(settings: KafkaSettings, account: Account) -> str:
    """Kafka's name for the account, such as ``User:roost-deployer``."""
    return f"User:{settings.principals.get(account, settings.principal_prefix + account.value)}"


def wanted(settings: KafkaSettings) -> tuple[Entry, ...]:
    """Every ACL that the accounts' duties need."""
    return tuple(
        _entry(principal(settings, account), right) for account, duty in DUTIES.items() for right in duty.rights()
    )


def ensure_acls(settings: KafkaSettings, *, dry_run: bool = False) -> AclReport:
    """Give every account its rights, and say what else is there. Nothing is taken away.

    Raises:
        BrokerUnavailable: the broker does not answer, or (`BrokerRefused`) this account may not alter the cluster.
        Permanent: the brokers keep no ACLs at all.
    """
    with admin_client(settings) as client:
        try:
            found = _described(client)
        except errors.SecurityDisabledError as error:
            raise Permanent(
                f"Kafka at {settings.bootstrap} keeps no ACLs: set on every broker and controller "
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer, and super.users"
            ) from error
        report = compared(wanted(settings), found, {principal(settings, account) for account in Account})
        if report.created and not dry_run:
            _create(client, report.created)
            _until(lambda: set(report.created) <= set(_described(client)), settings)
    return report


def compared(needed: Sequence[Entry], found: Iterable[Entry], ours: set[str]) -> AclReport:
    """What is missing, what is as needed, and what is more. Pure."""
    there = set(found)
    more = sorted(there - set(needed))
    return AclReport(
        created=tuple(one for one in needed if one not in there),
        kept=tuple(one for one in needed if one in there),
        surplus=tuple(one for one in more if one.principal in ours),
        others=tuple(one for one in more if one.principal not in ours and _touches_ours(one)),
    )


def _touches_ours(entry: Entry) -> bool:
    names: dict[str, Sequence[str]] = {"topic": list(Topic), "group": list(Group)}
    return any(_covers(entry.name, name) for name in names.get(entry.resource, ()))


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _entry(who: str, right: Right) -> Entry:
    name = _CLUSTER if right.resource is Resource.CLUSTER else right.name
    return Entry(principal=who, operation=right.operation.value, resource=right.resource.value, name=name)


def _described(client: Any) -> Iterator[Entry]:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    found, _ = client.describe_acls(ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, anything))
    return (_of(one) for one in found)


def _of(acl: Any) -> Entry:
    pattern = acl.resource_pattern
    prefixed = pattern.pattern_type is ACLResourcePatternType.PREFIXED
    return Entry(
        principal=acl.principal,
        operation=acl.operation.name.lower(),
        resource=pattern.resource_type.name.lower(),
        name=pattern.resource_name + "*" * prefixed,
        host=acl.host,
        allows=acl.permission_type is ACLPermissionType.ALLOW,
    )


def _create(client: Any, entries: Sequence[Entry]) -> None:
    made = client.create_acls([_acl(one) for one in entries])
    for failed in made["failed"]:
        raise failed("an ACL was not made")


def _acl(entry: Entry) -> Any:
    prefixed = entry.name.endswith("*")
    pattern = ResourcePattern(
        ResourceType[entry.resource.upper()],
        entry.name.removesuffix("*"),
        ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL,
    )
    operation = ACLOperation[Operation(entry.operation).name]
    return ACL(entry.principal, entry.host, operation, ACLPermissionType.ALLOW, pattern)


def _until(done: Callable[[], bool], settings: KafkaSettings) -> None:
    """The controller has taken them; brokers learn of it a little later, and topics are made by these rights."""
    until = time.monotonic() + _SETTLE
    while not done():
        if time.monotonic() > until:
            raise BrokerUnavailable(f"Kafka at {settings.bootstrap} took the ACLs and does not show them: try again")
        time.sleep(_LOOK_EVERY)
