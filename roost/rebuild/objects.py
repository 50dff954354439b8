"""What the object store says: the desired state of each pool, and the versions that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from roost.contracts.desired import DesiredModel, DesiredState
from roost.contracts.errors import NotFound, Permanent
from roost.contracts.ids import InvalidId, served_name, version_prefix
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, digest_of
from roost.ports.object_store import ObjectStore
from roost.rebuild.log import Progress

_DESIRED = "desired.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What serves, and what could."""

    #: Serving pools and the canary pool, by name.
    pools: Mapping[str, DesiredState] = field(default_factory=dict)
    #: (customer, model) to the versions of which anything is stored, ascending.
    stored: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    #: Of those, the ones that are whole: (customer, model, version).
    whole: frozenset[tuple[str, str, int]] = frozenset()

    def served(self, canary: str) -> Mapping[str, tuple[str, DesiredModel]]:
        """Served name to its pool and entry; a name that several pools list is taken from the first."""
        found: dict[str, tuple[str, DesiredModel]] = {}
        for pool in sorted(self.pools):
            for model in self.pools[pool].models if pool != canary else ():
                found.setdefault(model.name, (pool, model))
        return found


def read(store: ObjectStore, progress: Progress) -> World:
    """The world as it is now.

    Raises:
        StorageUnavailable: the store does not answer.
        Permanent: a desired state cannot be read. Nothing is guessed about what serves.
    """
    pools = {}
    for found in store.list("fleet/"):
        _, pool, name = found.name.split("/", 2)
        if name == _DESIRED:
            pools[pool] = _desired(store, found.name)
            progress(f"pool {pool}: generation {pools[pool].generation}, {len(pools[pool].models)} models")
    versions, whole = _versions(store)
    progress(f"models: {sum(map(len, versions.values()))} stored versions of {len(versions)} names")
    return World(pools=pools, stored=versions, whole=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """The manifest of a stored version, and the digest of its very bytes."""

    content: ArtifactManifest
    digest: str


def manifest(store: ObjectStore, customer: str, model: str, version: int) -> StoredManifest | None:
    """The manifest of a stored version; None where it is gone or unreadable. Raises `StorageUnavailable`."""
    try:
        content, _ = store.read(version_prefix(customer, model, version) + MANIFEST_NAME)
        return StoredManifest(content=ArtifactManifest.received(content), digest=digest_of(content))
    except (NotFound, ValidationError):
        return None


def _desired(store: ObjectStore, name: str) -> DesiredState:
    try:
        return DesiredState.decoded(store.read(name)[0])
    except ValidationError as error:
        raise Permanent(f"{store.uri(name)} is no desired state: mend or remove it first ({error.title})") from error


def _versions(store: ObjectStore) -> tuple[dict[tuple[str, str], list[int]], frozenset[tuple[str, str, int]]]:
    numbers: dict[tuple[str, str], set[int]] = {}
    whole = set()
    for found in store.list("models/"):
        parts = found.name.split("/", 4)
        if len(parts) < 5 or not parts[3].isdecimal():
            continue
        _, customer, model, number, path = parts
        try:
            served_name(customer, model)
        except InvalidId:
            continue
        numbers.setdefault((customer, model), set()).add(int(number))
        if path == MANIFEST_NAME:
            whole.add((customer, model, int(number)))
    return {name: sorted(found) for name, found in numbers.items()}, frozenset(whole)
