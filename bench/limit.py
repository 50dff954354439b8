"""The limit of B1: copy, load and canary requests with nothing around them, on the same parts and the same box."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import bare
from bench.bare import BareServer
from bench.variants import Variant, restage
from roost.adapters.gcs import open_store
from roost.contracts.ids import DEFAULT_MODEL, served_name, staging_prefix
from roost.contracts.manifest import ArtifactManifest
from roost.ports.object_store import ObjectStore
from roost.settings import Settings

CANARY = "server-3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """One sample of the bare work, seconds."""

    copying: float
    #: Download, reload, AVAILABLE, first prediction, on one server.
    canary_load: float
    asking: float
    #: The same on three servers at a time: the slowest.
    node_load: float

    @property
    def total(self) -> float:
        """One after the other, as the order of a rollout demands."""
        return self.copying + self.canary_load + self.asking + self.node_load


def limits(settings: Settings, variants: Sequence[Variant], *, models: int, count: int) -> list[Bare]:
    """`count` samples on four servers, of which the fourth is the canary, with so many models loaded."""
    store = open_store(settings.storage)
    names = [f"limit-{index:04d}" for index in range(models)]
    versions = {served_name(name, DEFAULT_MODEL): 1 for name in names}
    with tempfile.TemporaryDirectory(prefix="roost-bare-", dir="/tmp") as directory:
        root = Path(directory)
        for number in range(4):
            for name in versions:
                bare.put(variants[0].files, root / f"server-{number}", name, 1)
        with bare.servers(4, root, versions, poll=None) as servers:
            found = []
            for index in range(count):
                variant, customer = variants[(index + 1) % len(variants)], names[index % models]
                found.append(_sample(store, servers, versions, (variant, customer, index)))
            return found


def _sample(
    store: ObjectStore, servers: Sequence[BareServer], versions: dict[str, int], case: tuple[Variant, str, int]
) -> Bare:
    variant, customer, index = case
    staged = restage(store, variant, customer, f"limit-{index:05d}").manifest
    name = served_name(customer, DEFAULT_MODEL)
    version = versions[name] + 1
    versions[name] = version
    target = f"bench/{customer}/{version}/"
    source = staging_prefix(customer, DEFAULT_MODEL, staged.run.run_id)
    begun = time.perf_counter()
    bare.copy(store, source, target, staged.files)
    copied = time.perf_counter()
    load = partial(_load, store, target, staged, (variant, dict(versions)))
    canary = next(server for server in servers if server.name == CANARY)
    load(canary)
    loaded = time.perf_counter()
    bare.ask_recorded(canary.client, name, version, variant)
    asked = time.perf_counter()
    with ThreadPoolExecutor(len(servers)) as threads:
        list(threads.map(load, [server for server in servers if server is not canary]))
    return Bare(
        copying=copied - begun,
        canary_load=loaded - copied,
        asking=asked - loaded,
        node_load=time.perf_counter() - asked,
    )


def _load(
    store: ObjectStore,
    prefix: str,
    manifest: ArtifactManifest,
    case: tuple[Variant, dict[str, int]],
    server: BareServer,
) -> None:
    variant, versions = case
    name = served_name(manifest.customer, manifest.model)
    place = server.models / name
    incoming = place / f"incoming-{versions[name]}"
    bare.fetch(store, prefix, manifest.files, incoming)
    incoming.replace(place / str(versions[name]))
    server.reload(versions)
    server.until_available(name, versions[name])
    server.client.predict(name, variant.question, version=versions[name], signature="serving_default", deadline=10)
