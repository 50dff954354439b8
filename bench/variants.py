"""The two models that B1 deploys in turn, as the process without TensorFlow knows them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.artifact import SEEDS
from deployer.checks.tensors import golden_inputs
from roost.contracts.manifest import GOLDEN_NAME, MANIFEST_NAME, ArtifactManifest, GoldenCase
from roost.ports.object_store import ObjectStore
from roost.ports.serving import Tensors
from training.export import Artifact
from training.staging import Staged, stage


class Indistinct(RuntimeError):
    """Two variants answer alike: an answer would not tell which of them it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One model, and its recorded requests with their answers."""

    files: Path
    manifest: ArtifactManifest
    cases: tuple[GoldenCase, ...]

    def inputs(self, case: GoldenCase) -> Tensors:
        """The recorded request as tensors."""
        declared = self.manifest.signature(case.signature)
        if declared is None:
            raise ValueError(f"signature {case.signature} is not declared")
        return golden_inputs(case, declared)

    @property
    def question(self) -> Tensors:
        """The smallest recorded request: one row."""
        return self.inputs(self.cases[0])

    @property
    def answer(self) -> NDArray[np.float64]:
        """What this model answers to it."""
        (column,) = self.cases[0].outputs.values()
        return np.asarray(column, dtype=np.float64)


def make(directory: Path) -> tuple[Variant, ...]:
    """Train and export, in a child process.

    Raises:
        CalledProcessError: the child failed; its words are on standard error.
        Indistinct: the models answer alike.
    """
    if not (directory / max(SEEDS) / MANIFEST_NAME).is_file():
        subprocess.run([sys.executable, "-m", "bench.artifact", str(directory)], check=True)
    variants = tuple(_read(directory / name) for name in SEEDS)
    first, second = (variant.answer for variant in variants)
    if np.allclose(first, second, atol=1e-3):
        raise Indistinct(f"both models answer {first}: choose other seeds")
    return variants


def restage(store: ObjectStore, variant: Variant, customer: str, run_id: str) -> Staged:
    """Stage the variant as another customer's run: the manifest, and so the digest, is that run's own."""
    run = variant.manifest.run.model_copy(update={"run_id": run_id, "trained_at": datetime.now(UTC)})
    manifest = variant.manifest.model_copy(update={"customer": customer, "run": run})
    return stage(store, Artifact(directory=variant.files, manifest=manifest))


def _read(directory: Path) -> Variant:
    files = directory / "files"
    lines = (files / GOLDEN_NAME).read_text().splitlines()
    return Variant(
        files=files,
        manifest=ArtifactManifest.model_validate_json((directory / MANIFEST_NAME).read_bytes()),
        cases=tuple(GoldenCase.model_validate_json(line) for line in lines),
    )
