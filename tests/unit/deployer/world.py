"""A small world for the deployer's tests: the shipped fakes, a made artifact, and the deployer's own loops in one thread."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import google_crc32c
import numpy as np

from deployer.promotion.canary_pool import CanaryPool
from deployer.promotion.desired_store import DesiredStore
from deployer.promotion.fence import Fence
from deployer.promotion.nodes import PoolNodes
from deployer.promotion.promoter import Promoter
from deployer.promotion.reconciler import Reconciler
from deployer.rollout.canary import CanaryJudge
from deployer.rollout.commands import Commands
from deployer.rollout.controller import Controller
from deployer.rollout.copying import Copier
from deployer.rollout.parts import Ledger, Parts
from deployer.rollout.workers import Worker
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.adapters.in_memory.traffic import InMemoryTraffic
from roost.adapters.tf_messages import saved_model_pb2
from roost.contracts.acks import NodeState
from roost.contracts.desired import DesiredState
from roost.contracts.errors import Conflict
from roost.contracts.events import Command, DeployCommand
from roost.contracts.ids import desired_object, staging_prefix
from roost.contracts.manifest import (
    GOLDEN_NAME,
    HOLDOUT_NAME,
    MANIFEST_NAME,
    SAVED_MODEL_NAME,
    ArtifactManifest,
    ManifestFile,
    OutputSpec,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from roost.contracts.policy import Policy
from roost.contracts.rollout import Phase, Rollout
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress, Tensors

#: Operators that any exported model uses.
OPERATORS = ("Placeholder", "Const", "VarHandleOp", "ReadVariableOp", "MatMul", "Sigmoid", "SaveV2", "RestoreV2")
SIGNATURE = SignatureSpec(
    name="serving_default",
    inputs=(TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,)),),
    outputs=(TensorSpec(name="score", dtype="DT_FLOAT", shape=(-1, 1)),),
)


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 (an executor hands on whatever its task raised)
            future.set_exception(error)
        return future


class Pools:
    """Several in-memory pools behind one directory, one control and one predictor."""

    def __init__(self, pools: dict[str, InMemoryPool]) -> None:
        self.pools = pools

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        return self.pools[pool].nodes(pool) if pool in self.pools else ()

    def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
        return self.pools[node.pool].state(node, deadline=deadline)

    def nudge(self, node: NodeAddress, generation: int, *, deadline: float) -> None:
        self.pools[node.pool].nudge(node, generation, deadline=deadline)

    def await_settled(self, node: NodeAddress, generation: int, *, deadline: float) -> NodeState:
        return self.pools[node.pool].await_settled(node, generation, deadline=deadline)

    def drain(self, node: NodeAddress, *, deadline: float) -> None:
        self.pools[node.pool].drain(node, deadline=deadline)

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        self.pools[node.pool].restart(node, deadline=deadline)

    def predict(
        self, address: str, name: str, inputs: Tensors, *, version: int | None, signature: str, deadline: float
    ) -> Tensors:
        pool = self.pools[address.rpartition("-")[0]]
        answers = pool.predict(address, name, inputs, version=version, signature=signature, deadline=deadline)
        # Recorded answers come back from JSON as doubles; a model server gives what the signature declares.
        return {key: np.asarray(value, dtype=np.float32) for key, value in answers.items()}


def saved_model(operators: Sequence[str] = OPERATORS, in_function: Sequence[str] = ()) -> bytes:
    """A SavedModel that uses these operators, some of them in a function only."""
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = saved.meta_graphs.add().graph_def
    for index, operator in enumerate(operators):
        graph.node.add(name=f"n{index}", op=operator)
    function = graph.library.function.add()
    function.signature.name = "__inference_serve_1"
    for index, operator in enumerate(("Identity", *in_function)):
        function.node_def.add(name=f"f{index}", op=operator)
    graph.node.add(name="call", op="StatefulPartitionedCall")
    return saved.SerializeToString()


def listing(files: dict[str, bytes]) -> tuple[ManifestFile, ...]:
    """The manifest's lines for these files."""
    return tuple(
        ManifestFile(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            crc32c=base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        )
        for path, content in sorted(files.items())
    )


class World:
    """Everything in memory, three serving nodes and one canary node, time by hand."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        nodes: int = 3,
        store: ObjectStore | None = None,
        interval: float = 1.0,
        check_artifacts: bool = True,
        clock: Clock | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.clock: Any = clock or ManualClock()
        self.ledger: Ledger = ledger or InMemoryLedger(self.clock)
        self.memory = InMemoryObjectStore(clock=self.clock)
        self.store: ObjectStore = store or self.memory
        self.interval = interval
        self.pool = InMemoryPool(self.store, self.clock, nodes=nodes, check_artifacts=check_artifacts)
        self.canary = InMemoryPool(self.store, self.clock, pool="canary", nodes=1, check_artifacts=check_artifacts)
        self.pools = Pools({"default": self.pool, "canary": self.canary})
        self.parts = Parts(
            ledger=self.ledger, store=self.store, policy=policy or Policy(), clock=self.clock, console_url="http://c"
        )
        self.threads = ThreadPoolExecutor(8)
        self.traffic = InMemoryTraffic(clock=self.clock)
        self.stopping = threading.Event()
        self.copier = Copier(directory=self.pools, traffic=self.traffic, clock=self.clock, stopping=self.stopping)
        self.start_deployer()

    def start_deployer(self) -> None:
        """A fresh deployer process, which remembers nothing."""
        parts = self.parts
        self.controller = Controller(parts, self.threads)
        self.worker = Worker(parts, self.controller, name="w", lease_seconds=30)
        self.fence = Fence(self.ledger, self.store, ("default", "canary"))
        self.promoter = Promoter(parts, self.written("default", self.fence), self.nodes_of("default"))
        judge = CanaryJudge(parts, self.pools, self.threads, self.copier)
        self.canary_pool = CanaryPool(
            parts, self.written("canary", self.fence), self.nodes_of("canary"), judge.judge, InlineExecutor()
        )
        self.commands = Commands(parts)
        self.reconciler = Reconciler(self.desired_store("default"), self.nodes_of("default"))

    def desired_store(self, pool: str) -> DesiredStore:
        return DesiredStore(pool, self.store, self.clock, self.interval, self.parts.policy.loading(pool))

    def written(self, pool: str, fence: Fence) -> DesiredStore:
        desired = self.desired_store(pool)
        desired.fence = fence
        return desired

    def nodes_of(self, pool: str) -> PoolNodes:
        return PoolNodes(pool, self.pools, self.pools, self.clock, self.threads)

    def stage(self, customer: str = "ua", run: str = "r1", **change: Any) -> ArtifactManifest:
        """Put an artifact into staging; `change` may replace its files, its manifest's fields or its bytes."""
        files = {SAVED_MODEL_NAME: change.get("graph", saved_model()), "variables/variables.index": run.encode()}
        cases = change.get("golden", [{"inputs": {"x": [0.5]}, "outputs": {"score": [[0.5]]}}])
        files[GOLDEN_NAME] = "\n".join(json.dumps(case) for case in cases).encode()
        rows = [{"inputs": {"x": index / 40}, "label": index % 2} for index in range(change.get("rows", 40))]
        files[HOLDOUT_NAME] = "\n".join(json.dumps(row) for row in rows).encode()
        files |= change.get("files", {})
        run_facts = RunFacts(
            run_id=run,
            trained_at=change.get("trained_at", self.clock.now()),
            code_version="test",
            seed=7,
            data_window=("2013-01-01", "2013-06-01"),
            rows_trained=1000,
        )
        manifest = ArtifactManifest(
            customer=customer,
            model="default",
            files=listing(files),
            signatures=change.get("signatures", (SIGNATURE,)),
            outputs=(OutputSpec(name="score", minimum=0.0, maximum=1.0),),
            run=run_facts,
        )
        prefix = staging_prefix(customer, "default", run)
        for path, content in files.items():
            self.memory_or_store().write(prefix + path, content, if_generation=0)
        self.memory_or_store().write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
        return manifest

    def memory_or_store(self) -> ObjectStore:
        return self.store

    def receive(self, manifest: ArtifactManifest, *, digest: str | None = None, traceparent: str | None = None) -> str:
        """What the model-ready consumer does. Returns the rollout's id."""
        run = manifest.run.run_id
        prefix = staging_prefix(manifest.customer, manifest.model, run)
        rollout = Rollout(
            id=f"{manifest.customer}-{run}",
            customer=manifest.customer,
            model=manifest.model,
            pool="default",
            phase=Phase.RECEIVED,
            run_id=run,
            digest=digest or manifest.digest,
            artifact_uri=self.store.uri(prefix),
            trained_at=manifest.run.trained_at,
            received_at=self.clock.now(),
            entered_at=self.clock.now(),
            deadline=self.clock.now() + timedelta(seconds=300),
            reason="announced",
            traceparent=traceparent,
        )
        self.ledger.receive(rollout, event_id=f"event-{rollout.id}", events=[])
        return rollout.id

    def receive_and_run(self, manifest: ArtifactManifest) -> str:
        rollout_id = self.receive(manifest)
        self.run()
        return rollout_id

    def deploy(self, customer: str = "ua", run: str = "r1", **change: Any) -> str:
        """Stage, receive, and run until nothing moves."""
        rollout_id = self.receive(self.stage(customer, run, **change))
        self.run()
        return rollout_id

    def run(self, rounds: int = 60) -> None:
        """Let every loop go on until none has anything to do at once, waiting as each asks, up to two seconds."""
        for _ in range(rounds):
            busy = self.commands.step()
            while self.worker.step():
                busy = True
            paces = [self.pace(self.canary_pool.step), self.pace(self.promoter.step)]
            short = [pace for pace in paces if pace is not None and pace <= 2.0]
            if not busy and not short:
                return
            if short and min(short) > 0:
                self.clock.advance(min(short))

    def pace(self, step: Callable[[], Any]) -> float | None:
        try:
            found = step().wait_seconds
        except Conflict:
            return 0.0
        return None if found is None else float(found)

    def command(self, command: Command, **target: Any) -> str:
        """Submit, handle, and return the outcome."""
        event_id = f"command-{len(self.ledger.commands(1000))}"
        asked = DeployCommand.model_validate({"command": command, "actor": "ann", "reason": "because", **target})
        self.ledger.submit(event_id, asked, at=self.clock.now())
        self.commands.step()
        row = next(row for row in self.ledger.commands(1000) if row.event_id == event_id)
        assert row.outcome is not None
        return row.outcome

    def rollout(self, rollout_id: str) -> Rollout:
        return self.ledger.rollout(rollout_id)

    def phases(self, rollout_id: str) -> list[str]:
        return [line.after.value for line in self.ledger.history(rollout_id)]

    def desired(self, pool: str = "default") -> DesiredState:
        content, _ = self.store.read(desired_object(pool))
        return DesiredState.decoded(content)

    def states(self) -> list[NodeState]:
        return [
            self.pool.state(node, deadline=1)
            for node in self.pool.nodes("default")
            if not self.pool.faults(node.node).down
        ]

    def later(self, seconds: float) -> datetime:
        self.clock.advance(seconds)
        return self.clock.now()
