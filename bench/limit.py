"""The limit of B1: copy, load and canary requests with nothing around them, on the same parts and the same box."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench import bare
from bench.bare import BareServer
from bench.variants import Variant, restage
from roost.adapters.gcs import open_store
from roost.contracts.ids import DEFAULT_MODEL, served_name, split_served_name, staging_prefix
from roost.contracts.manifest import ArtifactManifest
from roost.ports.object_store import ObjectStore
from roost.settings import Settings

CANARY: Final = "server-3"


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


@dataclass(slots=True, kw_only=True)
class Bench:
    """Four servers, of which the fourth is the canary, and the object store of the stack beside them."""

    store: ObjectStore
    variants: Sequence[Variant]
    servers: Sequence[BareServer]
    #: Served name to the version that every server has.
    versions: dict[str, int]
    samples: list[Bare] = field(default_factory=list)

    def sample(self) -> None:
        """Take one more."""
        index = len(self.samples)
        name = sorted(self.versions)[index % len(self.versions)]
        variant = self.variants[self.versions[name] % len(self.variants)]
        self.versions[name] += 1
        self.samples.append(_sample(self, variant, name, f"limit-{index:05d}"))


@contextmanager
def bench(settings: Settings, variants: Sequence[Variant], *, models: int) -> Iterator[Bench]:
    """The servers, with so many models loaded, ready for samples at any time: noise then meets both sides alike."""
    versions = {served_name(f"limit-{index:04d}", DEFAULT_MODEL): 1 for index in range(models)}
    with tempfile.TemporaryDirectory(prefix="roost-bare-", dir="/tmp") as directory:
        root = Path(directory)
        for number in range(4):
            for name in versions:
                bare.put(variants[0].files, root / f"server-{number}", name, 1)
        with bare.servers(4, root, versions, poll=None) as servers:
            yield Bench(store=open_store(settings.storage), variants=variants, servers=servers, versions=versions)


def _sample(at: Bench, variant: Variant, name: str, run_id: str) -> Bare:
    customer, model = split_served_name(name)
    staged = restage(at.store, variant, customer, run_id).manifest
    version = at.versions[name]
    target = f"bench/{customer}/{version}/"
    begun = time.perf_counter()
    bare.copy(at.store, staging_prefix(customer, model, run_id), target, staged.files)
    copied = time.perf_counter()
    load = partial(_load, at, target, staged, variant)
    (canary,) = (server for server in at.servers if server.name == CANARY)
    load(canary)
    loaded = time.perf_counter()
    bare.ask_recorded(canary.client, name, version, variant)
    asked = time.perf_counter()
    with ThreadPoolExecutor(len(at.servers)) as threads:
        list(threads.map(load, [server for server in at.servers if server is not canary]))
    return Bare(
        copying=copied - begun,
        canary_load=loaded - copied,
        asking=asked - loaded,
        node_load=time.perf_counter() - asked,
    )


def _load(at: Bench, prefix: str, manifest: ArtifactManifest, variant: Variant, server: BareServer) -> None:
    name = served_name(manifest.customer, manifest.model)
    version = at.versions[name]
    incoming = server.models / name / f"incoming-{version}"
    bare.fetch(at.store, prefix, manifest.files, incoming)
    incoming.replace(server.models / name / str(version))
    server.reload(at.versions)
    server.until_available(name, version)
    server.client.predict(name, variant.question, version=version, signature="serving_default", deadline=10)
