"""What surrounds a node in these tests: a real object store, artifacts, desired states, and the node's own process."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import google_crc32c
import httpx
import numpy as np
from pydantic import SecretStr

from roost.adapters.node_control import HttpNodeControl
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion, LoadingOrder
from roost.contracts.errors import NodeUnavailable
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
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress

TOKEN = "a-control-token"
#: A loaded machine of two cores imports TensorFlow in half a minute.
START_SECONDS = 120.0


def eventually(check: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `check` holds; fail naming `what`."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def manifest_of(directory: Path, name: str) -> ArtifactManifest:
    """The manifest of the files in a directory."""
    customer, model = split_served_name(name)
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    files = []
    for path in paths:
        content = path.read_bytes()
        crc = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
        relative = path.relative_to(directory).as_posix()
        digest = hashlib.sha256(content).hexdigest()
        files.append(ManifestFile(path=relative, size=len(content), sha256=digest, crc32c=crc))
    return ArtifactManifest(
        customer=customer,
        model=model,
        files=tuple(files),
        signatures=(
            SignatureSpec(
                name="serving_default",
                inputs=(TensorSpec(name="x", dtype="DT_FLOAT", shape=(-1,)),),
                outputs=(TensorSpec(name="y", dtype="DT_FLOAT", shape=(-1,)),),
            ),
        ),
        run=RunFacts(
            run_id="run-1",
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="test",
            seed=1,
            data_window=("2025-01-01", "2025-12-31"),
            rows_trained=1000,
        ),
    )


class Shelf:
    """Puts artifacts and desired states into a store, as the deployer does."""

    def __init__(self, store: ObjectStore, models: Path, pool: str = "default") -> None:
        self.store = store
        self.pool = pool
        self._models = models
        self._generation = 0
        self._digests: dict[tuple[str, int], str] = {}

    def put(self, name: str, version: int, kind: str, *, change: Callable[[Path], None] | None = None) -> None:
        """Store an artifact of a tiny model; `change` may alter its files before the manifest is made."""
        source = self._models / kind
        copy = self._models.parent / "copies" / f"{name}-{version}-{time.monotonic_ns()}"
        subprocess.run(["cp", "-r", str(source), str(copy.parent.mkdir(exist_ok=True) or copy)], check=True)
        golden = copy / GOLDEN_NAME
        golden.parent.mkdir()
        golden.write_text(json.dumps({"inputs": {"x": [1.0, 2.0]}, "outputs": {"y": [1.0, 2.0]}}) + "\n")
        if change:
            change(copy)
        manifest = manifest_of(copy, name)
        prefix = version_prefix(*split_served_name(name), version)
        for file in manifest.files:
            self.store.write_from(prefix + file.path, copy / file.path, if_generation=0)
        self.store.write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
        self._digests[name, version] = manifest.digest

    def desire(
        self,
        models: dict[str, tuple[list[int], dict[str, int]]],
        *,
        generation: int | None = None,
        loading: LoadingOrder = LoadingOrder.LOAD_FIRST,
        splits: Mapping[str, dict[str, float]] | None = None,
    ) -> int:
        """Write the next generation: served name to versions and labels, and to shares. Returns it."""
        self._generation = generation if generation is not None else self._generation + 1
        state = DesiredState(
            pool=self.pool,
            generation=self._generation,
            loading=loading,
            models=tuple(
                DesiredModel(
                    name=name,
                    versions=tuple(self._version(name, v) for v in versions),
                    labels=labels,
                    split=(splits or {}).get(name, {}),
                )
                for name, (versions, labels) in sorted(models.items())
            ),
        )
        name = desired_object(self.pool)
        facts = self.store.stat(name)
        self.store.write(name, state.encoded(), if_generation=facts.generation if facts else 0)
        return self._generation

    def _version(self, name: str, version: int) -> DesiredVersion:
        digest = self._digests.get((name, version), "sha256:" + "0" * 64)
        return DesiredVersion(version=version, digest=digest, rollout_id=f"rollout-{version}")


class RunningNode:
    """The node's process, and clients of its ports."""

    def __init__(self, state_dir: Path, endpoint: str, bucket: str, *, name: str = "node-1", **settings: str) -> None:
        self.name = name
        self.root = state_dir / "nodes" / name
        self._env = {
            **os.environ,
            "ROOST_STATE_DIR": str(state_dir),
            "ROOST_STORAGE__ENDPOINT": endpoint,
            "ROOST_STORAGE__BUCKET": bucket,
            "ROOST_STORAGE__DEADLINE_SECONDS": "3",
            "ROOST_SERVING__CONTROL_TOKEN": TOKEN,
            "ROOST_SERVING__POLL_SECONDS": "2",
            **settings,
        }
        self._log = state_dir / f"{name}.log"
        self.control = HttpNodeControl(SecretStr(TOKEN))
        self.predictor = TfServingPredictor()
        self.process: subprocess.Popen[bytes] | None = None
        self.address = NodeAddress(node=name, pool="default", control="", rest="", grpc="")

    def start(self, *arguments: str, pool: str = "default") -> None:
        """Start it, and wait until it answers."""
        self.spawn(*arguments, pool=pool)
        file = self.root / "addresses.json"
        eventually(lambda: file.exists() or self._ended(), "the node listens")
        assert not self._ended(), self.log
        found = json.loads(file.read_text())
        self.address = NodeAddress(**found)

    def spawn(self, *arguments: str, pool: str = "default") -> subprocess.Popen[bytes]:
        """Start it."""
        (self.root / "addresses.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "roost", "node", "--pool", pool, "--name", self.name, *arguments]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(command, env=self._env, stdout=output, stderr=output)
        return self.process

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def state(self) -> NodeState:
        """Its answer now."""
        return self.control.state(self.address, deadline=60)

    def changes(self, after: int = -1) -> list[NodeChange]:
        """What it says has changed."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://{self.address.control}/changes"
        answer = httpx.get(url, params={"after": after}, headers=headers, trust_env=False, timeout=60)
        return [NodeChange.model_validate(change) for change in answer.json()]

    def answered(self, name: str) -> int:
        """How many predictions its model server has answered under a served name."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://{self.address.control}/answered/{name}"
        answer = httpx.get(url, headers=headers, trust_env=False, timeout=60).raise_for_status()
        return int(sum(answer.json()["ended"].values()))

    def post(self, path: str) -> None:
        """Tell it something at its control port."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        httpx.post(
            f"http://{self.address.control}{path}", headers=headers, trust_env=False, timeout=60
        ).raise_for_status()

    def metric(self, name: str) -> float:
        """One of its metrics, with its labels as they are written; 0 where it is not there."""
        text = httpx.get(f"http://{self.address.control}/metrics", trust_env=False, timeout=60).text
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(lines.get(name, 0))

    def settle(self, generation: int, *, nudge: bool = True, seconds: float = START_SECONDS) -> NodeState:
        """Have the generation settled."""
        if nudge:
            self.control.nudge(self.address, generation, deadline=60)
        state = self.control.await_settled(self.address, generation, deadline=seconds)
        assert state.settled, f"{state}\n{self.log}"
        assert state.generation >= generation, f"{state}\n{self.log}"
        return state

    def ready(self) -> bool:
        """Whether it says so at /readyz."""
        try:
            return httpx.get(f"http://{self.address.control}/readyz", trust_env=False, timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    def await_ready(self) -> None:
        """Wait for it."""
        eventually(self.ready, f"ready: {self._safe_state()}")

    def answer(self, name: str, version: int | None = None) -> float:
        """What the model makes of 1, through the gateway by gRPC."""
        inputs = {"x": np.asarray([1.0], dtype=np.float32)}
        outputs = self.predictor.predict(
            self.address.grpc, name, inputs, version=version, signature="serving_default", deadline=60
        )
        return float(outputs["y"][0])

    def rest(self, name: str) -> float:
        """The same by REST."""
        url = f"http://{self.address.rest}/v1/models/{name}:predict"
        response = httpx.post(url, json={"instances": [1.0]}, trust_env=False, timeout=60)
        assert response.status_code == 200, response.text
        return float(response.json()["predictions"][0])

    def kill(self) -> None:
        """kill -9 of the node alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> int:
        """SIGTERM, and wait. Returns the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _safe_state(self) -> object:
        try:
            return self.state()
        except NodeUnavailable as error:
            return error
