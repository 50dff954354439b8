"""A node on in-memory parts, driven pass by pass."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import google_crc32c

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.acks import NodeState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion, LoadingOrder
from roost.contracts.ids import desired_object, split_served_name, version_prefix
from roost.contracts.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    ArtifactManifest,
    ManifestFile,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from roost.ports.clock import Clock
from serving.node.ack import Identity
from serving.node.cache import DiskCache
from serving.node.desired import DesiredReader, DesiredWatch
from serving.node.engine import Engine
from serving.node.holdings import Holdings
from serving.node.in_memory import InMemoryModelServer
from serving.node.in_memory_gateway import InMemoryGateway
from serving.node.intake import Intake
from serving.node.journal import Notes
from serving.node.layout import Layout
from serving.node.loading import Parts
from serving.node.memory import MemoryMeter
from serving.node.neighbours import Budget, NeighbourPace
from serving.node.proof import Proof
from serving.node.sync import Downloads, Fetcher
from serving.node.workers import InlineRunner

GOLDEN = json.dumps({"inputs": {"x": [1.0, 2.0]}, "outputs": {"y": [1.0, 1.0]}}).encode() + b"\n"
#: More passes than anything here takes.
PASSES = 400

Wanted = dict[str, tuple[list[int], dict[str, int]]]


def artifact(name: str, version: int, golden: bytes | None = GOLDEN) -> tuple[ArtifactManifest, dict[str, bytes]]:
    """A manifest and the files it names."""
    customer, model = split_served_name(name)
    files = {"saved_model.pb": f"{name} {version}".encode(), "variables/variables.index": b"index"}
    if golden is not None:
        files[GOLDEN_NAME] = golden
    entries = [
        ManifestFile(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            crc32c=base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        )
        for path, content in files.items()
    ]
    spec = TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,))
    manifest = ArtifactManifest(
        customer=customer,
        model=model,
        files=tuple(entries),
        signatures=(SignatureSpec(name="serving_default", inputs=(spec,), outputs=(spec,)),),
        run=RunFacts(
            run_id="run-1",
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="test",
            seed=1,
            data_window=("2025-01-01", "2025-12-31"),
            rows_trained=10,
        ),
    )
    return manifest, files


def stored_bytes(name: str, version: int) -> int:
    """What an artifact takes in the cache."""
    manifest, _ = artifact(name, version)
    return manifest.size + len(manifest.encoded())


def put(store: InMemoryObjectStore, name: str, version: int, golden: bytes | None = GOLDEN) -> str:
    """Store an artifact; returns its digest."""
    manifest, files = artifact(name, version, golden)
    prefix = version_prefix(*split_served_name(name), version)
    for path, content in files.items():
        store.write(prefix + path, content, if_generation=0)
    store.write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
    return manifest.digest


class Node:
    """One node; `restart` gives another life on the same disk."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        cache_bytes: int = 10**9,
        canary: bool = False,
        clock: Clock | None = None,
        poll_seconds: float = 20,
    ) -> None:
        self.store = InMemoryObjectStore()
        self.clock = clock or ManualClock()
        self._poll_seconds = poll_seconds
        self.server = InMemoryModelServer()
        self.gateway = InMemoryGateway()
        self.digests: dict[tuple[str, int], str] = {}
        self.generation = 0
        self.budget = Budget(factor=2, floor=0.02, patience=30)
        self._tmp_path = tmp_path
        self.cache_bytes = cache_bytes
        self._canary = canary
        self.engine: Engine = None
        self.restart()

    def restart(self) -> None:
        """The process begins anew."""
        self.layout = Layout.of(self._tmp_path, "default", "node-1")
        reader = DesiredReader(self.store, "default", self.layout.desired)
        holdings = Holdings(desired=reader.current)
        self.server.crash()
        self.gateway.stop()
        self.cache = DiskCache(
            self.layout.cache, limit_bytes=self.cache_bytes, in_use=lambda: holdings.in_use() | reader.wanted()
        )
        self.watch = DesiredWatch(reader, poll_seconds=self._poll_seconds, clock=self.clock, wake=self._wake)
        runner = InlineRunner()
        parts = Parts(
            holdings=holdings,
            server=self.server,
            cache=self.cache,
            proof=Proof(self.server, self.cache, finite=not self._canary),
            clock=self.clock,
            proofs=runner,
            deadline=60,
            notes=Notes(holdings, self.clock),
            memory=MemoryMeter(),
            pace=NeighbourPace(self.budget, self.gateway.latencies, self.clock),
        )
        fetcher = Fetcher(self.store, self.cache, self.layout.incoming, runner)
        intake = Intake(holdings, Downloads(fetcher, runner, self._wake), self.cache, self.clock)
        identity = Identity(node="node-1", pool="default", rest_address="127.0.0.1:1", grpc_address="127.0.0.1:2")
        self.engine = Engine(parts, self.gateway, self.watch, intake, identity=identity, layout=self.layout)
        self.engine.seed()

    def put(self, name: str, *versions: int, golden: bytes | None = GOLDEN) -> None:
        """Store artifacts."""
        for version in versions:
            self.digests[name, version] = put(self.store, name, version, golden)

    def desire(
        self,
        wanted: Wanted,
        *,
        generation: int | None = None,
        splits: Mapping[str, dict[str, float]] | None = None,
        loading: LoadingOrder = LoadingOrder.LOAD_FIRST,
    ) -> None:
        """Write a generation, the next one by default, and have the node look. `splits` by served name."""
        self.generation = generation if generation is not None else self.generation + 1
        models = tuple(
            DesiredModel(
                name=name,
                versions=tuple(
                    DesiredVersion(
                        version=version,
                        digest=self.digests.get((name, version), "sha256:" + "0" * 64),
                        rollout_id=f"rollout-{version}",
                    )
                    for version in versions
                ),
                labels=labels,
                split=(splits or {}).get(name, {}),
            )
            for name, (versions, labels) in sorted(wanted.items())
        )
        state = DesiredState(pool="default", generation=self.generation, models=models, loading=loading)
        facts = self.store.stat(desired_object("default"))
        content = state.encoded()
        self.store.write(desired_object("default"), content, if_generation=facts.generation if facts else 0)
        self.look()

    def look(self) -> None:
        """A poll."""
        self.watch.look(unasked=True)

    def step(self, passes: int = 1) -> NodeState:
        """That many passes, letting the time pass that each asks for."""
        for _ in range(passes):
            self.engine.turn()
        return self.state

    def settle(self) -> NodeState:
        """Passes until the newest generation is settled and the node is ready."""
        for _ in range(PASSES):
            self.step()
            if self.state.settled and self.state.ready and self.state.generation == self.generation:
                return self.state
        raise AssertionError(f"not settled: {self.state}")

    def quiet(self, seconds: float = 10) -> NodeState:
        """Passes for that long."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.step()
        return self.state

    def run(self) -> None:
        """The whole life: stopped before it began."""
        stop = threading.Event()
        stop.set()
        self.engine.run(stop)

    def _wake(self) -> None:
        if self.engine is not None:
            self.engine.wake()

    @property
    def state(self) -> NodeState:
        """What it says."""
        return self.engine.board.state

    def version(self, name: str, version: int):
        """What it says of one version."""
        model = self.state.model(name)
        return model.state_of(version) if model else None

    def labels(self, name: str) -> dict[str, int]:
        """What it says of labels."""
        model = self.state.model(name)
        return dict(model.labels) if model else {}
