"""A real node with its gateway, and what is asked of it: flights with a passenger's name, which nobody may record."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google_crc32c
import httpx

from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.ids import desired_object, split_served_name, version_prefix
from roost.contracts.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    ArtifactManifest,
    InputSpec,
    ManifestFile,
    OutputSpec,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from roost.ports.object_store import ObjectStore
from serving.gateway.tokens import Grant, SigningKey, mint
from tests.integration.node.world import RunningNode

INPUTS = (
    InputSpec(name="origin", dtype="DT_STRING", shape=(-1,), categories=("EWR", "JFK", "LGA")),
    InputSpec(name="passenger", dtype="DT_STRING", shape=(-1,)),
    InputSpec(name="distance", dtype="DT_FLOAT", shape=(-1,), minimum=0, maximum=5000),
    InputSpec(name="hour", dtype="DT_INT64", shape=(-1,), minimum=0, maximum=23, bounds="enforce"),
    InputSpec(name="temp", dtype="DT_FLOAT", shape=(-1,), required=False, nan=True),
)


def a_row(**changes: object) -> dict[str, object]:
    return {"origin": "EWR", "passenger": "nobody", "distance": 1400.0, "hour": 18, "temp": 60.5, **changes}


class Fleet:
    """Artifacts and desired states in the object store."""

    def __init__(self, store: ObjectStore, models: Path) -> None:
        self.store = store
        self._models = models
        self._generation = 0
        self._digests: dict[tuple[str, int], str] = {}

    def put(self, name: str, version: int, kind: str, *, labels: tuple[str, str] = ("on time", "late")) -> None:
        """Store one version; `labels` are what its output declares."""
        prefix = version_prefix(*split_served_name(name), version)
        row = {field: [value] for field, value in a_row().items()}
        golden = json.dumps({"inputs": row, "outputs": {"probability": [0.0]}}).encode() + b"\n"
        files = {path.relative_to(self._models / kind).as_posix(): path for path in (self._models / kind).rglob("*")}
        contents = {name: path.read_bytes() for name, path in files.items() if path.is_file()} | {GOLDEN_NAME: golden}
        for file, content in contents.items():
            self.store.write(prefix + file, content, if_generation=0)
        manifest = _manifest(name, contents, labels)
        self.store.write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
        self._digests[name, version] = manifest.digest

    def desire(
        self,
        models: dict[str, tuple[list[int], dict[str, int]]],
        splits: Mapping[str, dict[str, float]] | None = None,
    ) -> int:
        """Write the next generation: served name to versions and labels, and to shares of labels."""
        self._generation += 1
        listed = tuple(
            DesiredModel(
                name=name,
                versions=tuple(
                    DesiredVersion(version=version, digest=self._digests[name, version], rollout_id="r")
                    for version in versions
                ),
                labels=labels,
                split=(splits or {}).get(name, {}),
            )
            for name, (versions, labels) in sorted(models.items())
        )
        state = DesiredState(pool="default", generation=self._generation, models=listed)
        facts = self.store.stat(desired_object("default"))
        self.store.write(desired_object("default"), state.encoded(), if_generation=facts.generation if facts else 0)
        return self._generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """The running node, and who asks it."""

    fleet: Fleet
    node: RunningNode
    key: SigningKey
    #: The node's policy file.
    policy: Path

    def token(
        self,
        customers: tuple[str, ...] | None = None,
        *,
        labels: tuple[str, ...] | None = None,
        lifetime: float = 600,
    ) -> str:
        grant = Grant(
            subject="app",
            issuer="roost",
            audience="roost-predictions",
            lifetime=lifetime,
            customers=customers,
            labels=labels,
        )
        return mint(self.key, grant, now=time.time() - (7200 if lifetime < 0 else 0))

    def post(self, path: str, body: bytes, *, token: str | None, key: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= {"x-roost-key": key} if key else {}
        url = f"http://{self.node.address.rest}{path}"
        return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60)

    def ask(self, customer: str = "ua", *rows: dict[str, object], **more: Any) -> httpx.Response:
        """A sound request to the page, with a token that opens everything."""
        body = json.dumps({"rows": list(rows) or [a_row()], **more}).encode()
        return self.post(f"/v1/customers/{customer}/models/default:predict", body, token=self.token())


def _manifest(name: str, contents: dict[str, bytes], labels: tuple[str, str]) -> ArtifactManifest:
    customer, model = split_served_name(name)
    files = tuple(
        ManifestFile(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            crc32c=base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
        )
        for path, content in sorted(contents.items())
    )
    signature = SignatureSpec(
        name="serving_default",
        inputs=tuple(TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape) for spec in INPUTS),
        outputs=(TensorSpec(name="probability", dtype="DT_FLOAT", shape=(-1,)),),
    )
    facts = RunFacts(
        run_id="run-1",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC),
        code_version="test",
        seed=1,
        data_window=("2025-01-01", "2025-12-31"),
        rows_trained=1000,
    )
    output = OutputSpec(name="probability", minimum=0, maximum=1, labels=labels, threshold=0.7)
    return ArtifactManifest(
        customer=customer,
        model=model,
        files=files,
        signatures=(signature,),
        inputs=INPUTS,
        outputs=(output,),
        run=facts,
    )
