"""How a bucket is set up, and what this account may do in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from roost.adapters.gcs.client import plain_client
from roost.adapters.gcs.errors import translated
from roost.contracts.errors import NotFound, Permanent, StorageUnavailable
from roost.ports.object_store import BucketFacts, DeletionRule
from roost.settings import StorageSettings

_RIGHTS: Final = ("storage.objects.get", "storage.objects.list", "storage.objects.create", "storage.objects.delete")
#: Conditions that only former contents of an object meet.
_ONLY_FORMER: Final = frozenset({"daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions"})


def described(settings: StorageSettings) -> BucketFacts:
    """The bucket as it is now.

    Raises:
        NotFound: there is none of that name.
        StorageUnavailable: no answer, or this account may not look at the bucket itself (``storage.buckets.get``).
    """
    client = plain_client(settings)
    bucket, once = client.bucket(settings.bucket), {"timeout": settings.deadline_seconds, "retry": None}
    uri = f"gs://{settings.bucket}"
    _asked(uri, bucket.reload, once)
    facts = bucket._properties  # noqa: SLF001 (the API's own document; the accessors leave parts of it away)
    access = facts.get("iamConfiguration") or {}
    return BucketFacts(
        uri=uri,
        location=str(facts.get("location") or ""),
        keeps_former=bool((facts.get("versioning") or {}).get("enabled")),
        soft_delete_seconds=_whole((facts.get("softDeletePolicy") or {}).get("retentionDurationSeconds")),
        retention_seconds=_whole((facts.get("retentionPolicy") or {}).get("retentionPeriod")) or 0,
        holds_new_objects=bool(facts.get("defaultEventBasedHold")),
        uniform_access=(access.get("uniformBucketLevelAccess") or {}).get("enabled"),
        public_access_prevented=_prevented(access.get("publicAccessPrevention")),
        deletions=tuple(_deletions((facts.get("lifecycle") or {}).get("rule") or ())),
        rights=_rights(uri, bucket, once),
    )


def _rights(uri: str, bucket: Any, once: Mapping[str, Any]) -> frozenset[str] | None:
    """Which of the rights this account has; None where the server does not say."""
    try:
        return frozenset(_asked(uri, lambda **options: bucket.test_iam_permissions(_RIGHTS, **options), once))
    except (NotFound, Permanent, StorageUnavailable):
        # A server of our own has no such call.
        return None


def _asked(uri: str, call: Callable[..., Any], once: Mapping[str, Any]) -> Any:
    try:
        return call(**once)
    except Exception as error:
        raise translated(error, uri) from error


def _deletions(rules: Iterable[Mapping[str, Any]]) -> Iterable[DeletionRule]:
    for rule in rules:
        condition = rule.get("condition") or {}
        if (rule.get("action") or {}).get("type") != "Delete" or condition.get("isLive") is False:
            continue
        if _ONLY_FORMER & condition.keys():
            continue
        told = ", ".join(
            f"{name} {value}" for name, value in sorted(condition.items()) if not name.startswith("matches")
        )
        yield DeletionRule(prefixes=tuple(condition.get("matchesPrefix") or ()), said=told or "at once")


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | str) else None


def _prevented(value: object) -> bool | None:
    return None if value is None else value == "enforced"
