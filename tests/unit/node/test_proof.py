"""What a version is proved with comes from the artifact, which may be anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.contracts.errors import ArtifactInvalid
from roost.contracts.manifest import (
    GOLDEN_NAME,
    MANIFEST_NAME,
    SAVED_MODEL_NAME,
    ArtifactManifest,
    ManifestFile,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from serving.node.cache import DiskCache
from serving.node.in_memory import InMemoryModelServer
from serving.node.proof import Proof

KEY = ("ua.default", 1)


def cached(root: Path, dtype: str, values: object) -> DiskCache:
    tensor = TensorSpec(name="x", dtype=dtype, shape=(-1,))
    manifest = ArtifactManifest(
        customer="ua",
        model="default",
        files=(ManifestFile(path=SAVED_MODEL_NAME, size=0, sha256="0" * 64, crc32c="AAAAAA=="),),
        signatures=(SignatureSpec(name="serving_default", inputs=(tensor,), outputs=()),),
        run=RunFacts(
            run_id="r1",
            trained_at="2026-01-01T00:00:00Z",
            code_version="test",
            seed=1,
            data_window=("2013-01-01", "2013-02-01"),
            rows_trained=1,
        ),
    )
    directory = root / KEY[0] / str(KEY[1])
    (directory / GOLDEN_NAME).parent.mkdir(parents=True)
    (directory / MANIFEST_NAME).write_bytes(manifest.encoded())
    (directory / GOLDEN_NAME).write_text(json.dumps({"inputs": {"x": values}, "outputs": {}}))
    return DiskCache(root, limit_bytes=10**9, in_use=frozenset)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("DT_FLOAT", [[1.0], [1.0, 2.0]]),
        ("DT_FLOAT", ["late"]),
        ("DT_INT32", [2**40]),
        ("DT_STRING", [{"a": 1}]),
        ("DT_NOBODY_KNOWS", [1.0]),
        ("DT_RESOURCE", [1.0]),
    ],
)
def test_a_case_that_cannot_be_sent_is_the_artifacts_fault(tmp_path: Path, dtype: str, values: object) -> None:
    proof = Proof(InMemoryModelServer(), cached(tmp_path, dtype, values), finite=True)
    with pytest.raises(ArtifactInvalid):
        proof.by_version(KEY)
