"""Whether a bucket keeps what serves, and lets go what must change. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from roost.contracts.errors import RoostError
from roost.doctor.findings import Finding, doubtful, well, wrong
from roost.ports.object_store import BucketFacts, DeletionRule

ABOUT: Final = "bucket"
#: What nothing but Roost may delete: served versions, desired states.
_KEPT: Final = ("models/", "fleet/")
#: Training's own, which the deployer clears away after days.
_PASSING: Final = ("staging/", "recorded/", "doctor/")
_READS: Final = ("storage.objects.get", "storage.objects.list")
_WRITES: Final = ("storage.objects.create", "storage.objects.delete")


def looked_at(describe: Callable[[], BucketFacts]) -> Sequence[Finding]:
    """Findings on the bucket; that it may not be looked at is one, and no fault."""
    try:
        facts = describe()
    except RoostError as error:
        remedy = "for this check alone: roles/storage.legacyBucketReader on the bucket, or run it as its owner"
        return (doubtful(ABOUT, f"how it is set up cannot be told: {error}", remedy),)
    found = tuple(_found(facts))
    if any(one.remedy for one in found):
        return found
    return (*found, well(ABOUT, f"{facts.uri}: nothing deletes what serves, and nothing keeps it from changing"))


def _found(facts: BucketFacts) -> Iterator[Finding]:
    name = facts.uri
    if facts.retention_seconds:
        said = f"{name} refuses to replace or delete objects for {facts.retention_seconds} s: no generation can follow"
        yield wrong(ABOUT, said, f"gcloud storage buckets update {name} --clear-retention-period")
    if facts.holds_new_objects:
        said = f"{name} holds every new object: no generation can follow"
        yield wrong(ABOUT, said, f"gcloud storage buckets update {name} --no-default-event-based-hold")
    for rule in facts.deletions:
        yield from _deletes(name, rule)
    if not facts.keeps_former and facts.soft_delete_seconds == 0:
        said = f"{name} forgets at once what is deleted or replaced by mistake"
        yield doubtful(ABOUT, said, f"gcloud storage buckets update {name} --soft-delete-duration=14d")
    if facts.uniform_access is False:
        said = f"{name} lets single objects have rights of their own, which nobody looks after"
        yield doubtful(ABOUT, said, f"gcloud storage buckets update {name} --uniform-bucket-level-access")
    if facts.public_access_prevented is False:
        said = f"{name} may be opened to everybody by one grant"
        yield doubtful(ABOUT, said, f"gcloud storage buckets update {name} --public-access-prevention")
    yield from _may(facts)


def _deletes(name: str, rule: DeletionRule) -> Iterator[Finding]:
    touched = [kept for kept in _KEPT if _concerns(rule, kept)]
    if touched:
        said = (
            f"a lifecycle rule of {name} deletes objects under {' and '.join(touched)} ({rule.said}): served versions"
        )
        remedy = f"narrow the rule to {' and '.join(_PASSING[:2])} (matchesPrefix), or remove it"
        yield wrong(ABOUT, said, remedy)


def _concerns(rule: DeletionRule, kept: str) -> bool:
    """Whether any name under `kept` begins as the rule's do."""
    return not rule.prefixes or any(one.startswith(kept) or kept.startswith(one) for one in rule.prefixes)


def _may(facts: BucketFacts) -> Iterator[Finding]:
    if facts.rights is None:
        return
    blind = [right for right in _READS if right not in facts.rights]
    if blind:
        said = f"this account lacks {' and '.join(blind)} on {facts.uri}"
        yield wrong(ABOUT, said, "grant it roles/storage.objectViewer on the bucket")
    missing = [right for right in _WRITES if right not in facts.rights]
    if missing:
        said = f"this account may not write ({' and '.join(missing)}): right for nodes and the console, not for the "
        yield well(ABOUT, said + "deployer and training, which need roles/storage.objectUser")
