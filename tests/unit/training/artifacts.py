"""A complete artifact without TensorFlow: its files are only bytes to whoever moves them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import google_crc32c

from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.ids import desired_object, version_prefix
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, ManifestFile, RunFacts, SignatureSpec
from roost.ports.object_store import ObjectStore
from training.export import Artifact

FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"weights",
    "roost/golden.jsonl": b"{}\n",
}


def artifact(
    directory: Path, *, customer: str = "ua", run_id: str = "run-1", trained_at: datetime | None = None
) -> Artifact:
    for path, content in FILES.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return Artifact(directory=directory, manifest=manifest(customer=customer, run_id=run_id, trained_at=trained_at))


def manifest(*, customer: str = "ua", run_id: str = "run-1", trained_at: datetime | None = None) -> ArtifactManifest:
    return ArtifactManifest(
        customer=customer,
        model="default",
        files=tuple(
            ManifestFile(
                path=path,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                crc32c=base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
            )
            for path, content in sorted(FILES.items())
        ),
        signatures=(SignatureSpec(name="serving_default", inputs=(), outputs=()),),
        run=RunFacts(
            run_id=run_id,
            trained_at=trained_at or datetime(2026, 1, 1, tzinfo=UTC),
            code_version="test",
            seed=7,
            data_window=("2013-01-01T00:00:00+00:00", "2013-07-01T00:00:00+00:00"),
            rows_trained=400,
            metrics={"auc": 0.7},
            scope="cohort",
            cohort=("ua", "dl"),
        ),
    )


def deploy(store: ObjectStore, customer: str, version: int, *, trained_at: datetime) -> None:
    """Put an artifact where the deployer would."""
    content = manifest(customer=customer, trained_at=trained_at).encoded()
    store.write(version_prefix(customer, "default", version) + MANIFEST_NAME, content, if_generation=0)
    store.write(version_prefix(customer, "default", version) + "saved_model.pb", b"graph", if_generation=0)


def serve(store: ObjectStore, pool: str, models: dict[str, dict[str, int]]) -> None:
    """Write a pool's desired state: served name to labels."""
    listed = tuple(
        DesiredModel(
            name=name,
            versions=tuple(
                DesiredVersion(version=version, digest="sha256:" + "0" * 64, rollout_id=f"r{version}")
                for version in sorted(set(labels.values()))
            ),
            labels=labels,
        )
        for name, labels in sorted(models.items())
    )
    found = store.stat(desired_object(pool))
    content = DesiredState(pool=pool, generation=1, models=listed).encoded()
    store.write(desired_object(pool), content, if_generation=found.generation if found else 0)
