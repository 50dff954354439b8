"""After a customer left: once no pool lists their models any more, what training and the deployer stored is deleted.

The deletion belongs to one offboarding and not to the customer for good: what was trained or uploaded after the instant
at which they left is of a customer who came back, and stays. The customer's own data under `data/` are theirs and stay,
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from roost.contracts.desired import DesiredModel
from roost.contracts.errors import Conflict
from roost.contracts.ids import check_id, split_served_name
from roost.contracts.manifest import MANIFEST_NAME
from roost.ports.object_store import ObjectStore, StoredObject
from training.retraining import desired_states
from training.staging import staged

_WORKERS: Final = 8
#: ``models/<customer>/<model>/<version>/`` and ``staging/<customer>/<model>/<run>/``.
_PREFIX_PARTS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """One staged or deployed artifact, or what is there of one."""

    prefix: str
    objects: tuple[StoredObject, ...]
    #: None where there is no manifest.
    trained_at: datetime | None

    def is_of(self, instant: datetime) -> bool:
        """Whether it was there by then, or is a copy of what was."""
        uploaded = max(stored.created_at for stored in self.objects) <= instant
        if self.trained_at is None:
            return uploaded
        # The deployer copies when it comes to it: its copy is as old as what it is a copy of.
        copied = self.prefix.startswith("models/")
        return self.trained_at <= instant and (uploaded or copied)


def still_served(store: ObjectStore, customer: str, *, left_at: datetime) -> Sequence[str]:
    """``pool: served name`` of what the customer left behind in the pools, canaries included.

    Empty, too, once a pool lists a version that was trained after `left_at`: the customer came back, and their names
    are not going to leave the pools.

    Raises:
        ArtifactInvalid: the manifest of a listed version is not one.
    """
    listed = _listed(store, customer)
    prefixes = sorted(_prefixes(listed))
    if _came_back(_trained(store, prefixes), left_at):
        return []
    return [f"{pool}: {model.name}" for pool, model in listed]


def delete_models(store: ObjectStore, customer: str, *, left_at: datetime) -> int:
    """Delete the customer's artifacts and recorded requests of up to `left_at`; returns the number of objects.

    A version that a pool lists stays, whatever its age. Nothing that was uploaded since is taken; what training has
    not finished is as old as its newest object. Manifests go first: an artifact without one does not exist, so no half
    of one is left to be found. Idempotent.

    Raises:
        Conflict: a pool lists a model of the customer, and none that is newer than `left_at`.
        ArtifactInvalid: a manifest is not one, so that nobody knows how old its artifact is.
    """
    found = _stored(store, customer)
    serving = still_served(store, customer, left_at=left_at)
    if serving:
        raise Conflict(f"models of {customer} are still served ({', '.join(serving)}): offboard the customer first")
    # Read after the artifacts were: a version that a pool took up meanwhile is kept.
    kept = _prefixes(_listed(store, customer))
    old = [artifact for artifact in found if artifact.prefix not in kept and artifact.is_of(left_at)]
    doomed = [stored for artifact in old for stored in artifact.objects]
    doomed += [stored for stored in store.list(f"recorded/{check_id(customer)}/") if stored.created_at <= left_at]
    manifests = [stored for stored in doomed if stored.name.endswith(f"/{MANIFEST_NAME}")]
    others = [stored for stored in doomed if not stored.name.endswith(f"/{MANIFEST_NAME}")]
    for group in (manifests, others):
        _delete(store, group)
    return len(doomed)


def _listed(store: ObjectStore, customer: str) -> Sequence[tuple[str, DesiredModel]]:
    check_id(customer, "customer id")
    return [
        (pool, model)
        for pool, desired in desired_states(store)
        for model in desired.models
        if split_served_name(model.name)[0] == customer
    ]


def _prefixes(listed: Sequence[tuple[str, DesiredModel]]) -> frozenset[str]:
    return frozenset(model.prefix(entry.version) for _, model in listed for entry in model.versions)


def _stored(store: ObjectStore, customer: str) -> Sequence[_Stored]:
    # `models` before `staging`, and manifests last: whoever is copying into `models` now has a complete staged
    # artifact by then, which tells that the copy is new.
    found = [stored for root in ("models", "staging") for stored in store.list(f"{root}/{check_id(customer)}/")]
    groups = [(prefix, tuple(objects)) for prefix, objects in groupby(found, key=_prefix)]
    dates = _trained(store, [prefix for prefix, _ in groups])
    return [
        _Stored(prefix=prefix, objects=objects, trained_at=trained_at)
        for (prefix, objects), trained_at in zip(groups, dates, strict=True)
    ]


def _prefix(stored: StoredObject) -> str:
    return "/".join(stored.name.split("/")[:_PREFIX_PARTS]) + "/"


def _trained(store: ObjectStore, prefixes: Sequence[str]) -> Sequence[datetime | None]:
    with ThreadPoolExecutor(_WORKERS) as readers:
        found = readers.map(lambda prefix: staged(store, prefix), prefixes)
        return [artifact.manifest.run.trained_at if artifact else None for artifact in found]


def _came_back(dates: Sequence[datetime | None], left_at: datetime) -> bool:
    return any(trained_at is not None and trained_at > left_at for trained_at in dates)


def _delete(store: ObjectStore, group: Sequence[StoredObject]) -> None:
    with ThreadPoolExecutor(_WORKERS) as deletes:
        list(deletes.map(lambda stored: store.delete(stored.name, if_generation=stored.generation), group))
