"""Whether an account on the event bus may do what its process does, and no more. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from roost.adapters.kafka.allowed import Allowed
from roost.contracts.event_rights import DUTIES, Account, Operation, Resource, Right, said
from roost.doctor.findings import Finding, doubtful, or_well, well, wrong

_ENSURE: Final = "run `roost topics ensure --acls` with an account that may alter the cluster"
#: What looking needs. Nobody is harmed by it.
_LOOKING: Final = {Operation.DESCRIBE.value, Operation.DESCRIBE_CONFIGS.value}


def rights(who: str, account: Account | None, may: Allowed) -> Sequence[Finding]:
    """`who` is the name to speak of; `account` is None where the name is none of Roost's."""
    if account is None:
        return _of_a_stranger(who, may)
    said = f"{who} may do what {account} does on the event bus, and no more"
    return or_well("kafka", said, _of(who, account, may))


def _of(who: str, account: Account, may: Allowed) -> Iterator[Finding]:
    missing = lacking(account, may)
    if missing:
        yield wrong("kafka", f"{who} may not {', nor '.join(map(str, missing))}", _ENSURE)
    more = beyond(account, may)
    if more:
        said = f"{who} may also {', '.join(more)}: {account} does not need it"
        yield doubtful("kafka", said, "take it away (kafka-acls --remove); is it a super user, or are there no ACLs?")


def _of_a_stranger(who: str, may: Allowed) -> Sequence[Finding]:
    fits = [account for account in Account if not lacking(account, may)]
    if not fits:
        remedy = "is this the right account? `roost topics rights` lists them; ROOST_KAFKA__PRINCIPALS names yours"
        return (wrong("kafka", f"{who} may do the work of none of Roost's accounts", remedy),)
    if len(fits) == len(Account):
        remedy = "give each process an account of its own: `roost topics rights`"
        return (doubtful("kafka", f"{who} may do everything: it is a super user, or there are no ACLs", remedy),)
    return (well("kafka", f"{who} may do the work of {', '.join(fits)}"),)


def lacking(account: Account, may: Allowed) -> list[Right]:
    """Rights of its duty that it has not. Of topics that are not there, and of open ends of groups, nobody can tell."""
    return [one for one in DUTIES[account].rights() if not _has(one, may)]


def beyond(account: Account, may: Allowed) -> list[str]:
    """What it could change or read beyond its duty, in words."""
    needed = {(one.resource, one.name, one.operation.value) for one in DUTIES[account].rights()}
    found = [(Resource.TOPIC, name, operation) for name, has in may.topics.items() for operation in has]
    found += [(Resource.GROUP, name, operation) for name, has in may.groups.items() for operation in has]
    found += [(Resource.CLUSTER, "", operation) for operation in may.cluster]
    return sorted(
        f"{said(operation)} {resource} {name}".rstrip()
        for resource, name, operation in found
        if operation not in _LOOKING and (resource, name, operation) not in needed
    )


def _has(right: Right, may: Allowed) -> bool:
    if right.resource is Resource.CLUSTER:
        return right.operation.value in may.cluster
    held = (may.topics if right.resource is Resource.TOPIC else may.groups).get(right.name)
    return held is None or right.operation.value in held
