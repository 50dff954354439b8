"""Real serving nodes and a real deployer, each its own process, around a real store, database and broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from roost.adapters.gcs import open_store
from roost.adapters.postgres import open_ledger
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import ModelServerUnavailable
from roost.contracts.ids import staging_prefix
from roost.contracts.manifest import (
    GOLDEN_NAME,
    HOLDOUT_NAME,
    MANIFEST_NAME,
    ArtifactManifest,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from roost.contracts.rollout import Phase, Rollout
from roost.ports.clock import SystemClock
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress
from roost.settings import DatabaseSettings, KafkaSettings, StorageSettings
from tests.unit.deployer.world import listing

SIGNATURE = SignatureSpec(
    name="serving_default",
    inputs=(TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,)),),
    outputs=(TensorSpec(name="y", dtype="DT_FLOAT", shape=(-1,)),),
)


def eventually(check: Callable[[], bool], what: Callable[[], str], seconds: float = 180) -> float:
    """Wait until `check` holds. Returns the seconds that it took."""
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < seconds, what()
        time.sleep(0.01)
    return time.monotonic() - started


def stage(
    store: ObjectStore, files: Path, run: str, trained_at: datetime, factor: float, *, customer: str = "ua"
) -> ArtifactManifest:
    """What training does: the tiny model below `files`, with recorded requests and labelled rows."""
    content = {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}
    golden = {"inputs": {"x": [0.5, 0.25]}, "outputs": {"y": [0.5 * factor, 0.25 * factor]}}
    content[GOLDEN_NAME] = json.dumps(golden).encode()
    rows = [json.dumps({"inputs": {"x": index / 32}, "label": 0.0}) for index in range(32)]
    content[HOLDOUT_NAME] = "\n".join(rows).encode()
    facts = RunFacts(
        run_id=run,
        trained_at=trained_at,
        code_version="test",
        seed=7,
        data_window=("2013-01-01", "2013-06-01"),
        rows_trained=1000,
    )
    manifest = ArtifactManifest(
        customer=customer, model="default", files=listing(content), signatures=(SIGNATURE,), run=facts
    )
    prefix = staging_prefix(customer, "default", run)
    for path, one in content.items():
        store.write(prefix + path, one, if_generation=0)
    store.write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
    return manifest


def received(store: ObjectStore, manifest: ArtifactManifest, now: datetime) -> Rollout:
    """The row that the model-ready consumer inserts."""
    run = manifest.run.run_id
    return Rollout(
        id=f"ua-{run}",
        customer="ua",
        model="default",
        pool="default",
        phase=Phase.RECEIVED,
        run_id=run,
        digest=manifest.digest,
        artifact_uri=store.uri(staging_prefix("ua", "default", run)),
        trained_at=manifest.run.trained_at,
        received_at=now,
        entered_at=now,
        deadline=now + timedelta(seconds=300),
        reason="announced",
    )


#: This source tree.
ROOT: Final = Path(__file__).parents[3]


class Fleet:
    """The processes. `roost` commands run with the same settings."""

    def __init__(self, root: Path, storage: StorageSettings, database: DatabaseSettings, kafka: KafkaSettings) -> None:
        self.root = root
        self.store: ObjectStore = open_store(storage)
        self.ledger = open_ledger(database, SystemClock())
        self.directory = root / "nodes.json"
        self.directory.write_text('{"nodes": []}')
        self.environment = os.environ | {
            "ROOST_STATE_DIR": str(root / "state"),
            "ROOST_STORAGE__ENDPOINT": str(storage.endpoint),
            "ROOST_STORAGE__BUCKET": storage.bucket,
            "ROOST_DATABASE__URL": database.url.get_secret_value(),
            "ROOST_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "ROOST_SERVING__DIRECTORY_FILE": str(self.directory),
            "ROOST_SERVING__CONTROL_TOKEN": "a-control-token",
            "ROOST_SERVING__POLL_SECONDS": "5",
            "ROOST_DEPLOYER__LEASE_SECONDS": "3",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: list[NodeAddress] = []
        self.predictor = TfServingPredictor()

    def spawn(self, name: str, *command: str, code: Path = ROOT) -> subprocess.Popen[bytes]:
        """A process of Roost, of the source tree `code`, logging to a file of its name."""
        environment = self.environment | {"PYTHONPATH": str(code)}
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "roost", *command], env=environment, cwd=code, stdout=log, stderr=log
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        """The end of what a process has logged."""
        return (self.root / f"{name}.log").read_text()[-6000:]

    def start_nodes(self, names: dict[str, str], *, code: Path = ROOT) -> None:
        """Nodes by name and pool, all at once; returns when each is ready, and the directory lists them."""
        files = {name: self.root / "state" / "nodes" / name / "addresses.json" for name in names}
        self.addresses = [one for one in self.addresses if one.node not in names]
        for name, pool in names.items():
            # Of a life before, under the same name.
            files[name].unlink(missing_ok=True)
            self.spawn(name, "node", "--pool", pool, "--name", name, code=code)
        for name, file in files.items():
            eventually(file.exists, lambda name=name: self.log(name))
            self.addresses.append(NodeAddress(**json.loads(file.read_text())))
        for address in self.addresses:
            eventually(lambda one=address: ready(one), lambda one=address: self.log(one.node))
        nodes = [{field: getattr(one, field) for field in one.__slots__} for one in self.addresses]
        self.directory.write_text(json.dumps({"nodes": nodes}))

    def answers(self, pool: str = "default", *, customer: str = "ua") -> list[float]:
        """What `stable` answers to 1.0 on each node of the pool, through its gateway; NaN where nothing does."""
        return [self._answer(one, f"{customer}.default") for one in self.addresses if one.pool == pool]

    def _answer(self, node: NodeAddress, name: str) -> float:
        inputs = {"x": np.asarray([1.0], dtype=np.float32)}
        try:
            found = self.predictor.predict(
                node.grpc, name, inputs, version=None, signature="serving_default", deadline=30
            )
        except ModelServerUnavailable:
            return float("nan")
        return float(np.asarray(found["y"])[0])

    def stop(self) -> None:
        """End every process that is still there, and give the connections back."""
        self.ledger.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ready(node: NodeAddress) -> bool:
    """Whether the node says so."""
    try:
        return httpx.get(f"http://{node.control}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
