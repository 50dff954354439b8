"""After a customer left: once no pool lists their models any more, what training and the deployer stored is deleted.

The customer's own data under `data/` are theirs and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from roost.contracts.errors import Conflict
from roost.contracts.ids import check_id, split_served_name
from roost.contracts.manifest import MANIFEST_NAME
from roost.ports.object_store import ObjectStore, StoredObject
from training.retraining import desired_states

_DELETES: Final = 8


def still_served(store: ObjectStore, customer: str) -> Sequence[str]:
    """``pool: served name`` of everything of the customer that a pool still lists, canaries included."""
    check_id(customer, "customer id")
    return [
        f"{pool}: {model.name}"
        for pool, desired in desired_states(store)
        for model in desired.models
        if split_served_name(model.name)[0] == customer
    ]


def delete_models(store: ObjectStore, customer: str) -> int:
    """Delete every staged and deployed artifact of the customer; returns the number of objects.

    Manifests go first: an artifact without one does not exist, so no half of one is left to be found. Idempotent.

    Raises:
        Conflict: a pool lists a model of the customer (again).
    """
    serving = still_served(store, customer)
    if serving:
        raise Conflict(f"models of {customer} are still served ({', '.join(serving)}): offboard the customer first")
    found = [stored for root in ("staging", "models") for stored in store.list(f"{root}/{customer}/")]
    manifests = [stored for stored in found if stored.name.endswith(f"/{MANIFEST_NAME}")]
    others = [stored for stored in found if not stored.name.endswith(f"/{MANIFEST_NAME}")]
    for group in (manifests, others):
        _delete(store, group)
    return len(found)


def _delete(store: ObjectStore, group: Sequence[StoredObject]) -> None:
    with ThreadPoolExecutor(_DELETES) as deletes:
        list(deletes.map(lambda stored: store.delete(stored.name, if_generation=stored.generation), group))
