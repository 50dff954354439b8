"""A trained model as an artifact: SavedModel, recorded requests, labelled rows, warm-up, and the manifest over them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final

import google_crc32c
import numpy as np
from pydantic import ValidationError

from roost.contracts.manifest import (
    GOLDEN_NAME,
    HOLDOUT_NAME,
    WARMUP_NAME,
    ArtifactManifest,
    GoldenCase,
    HoldoutRow,
    InputSpec,
    ManifestFile,
    RunFacts,
)
from training.examples import Array, Examples, Schema, TrainingRefused
from training.models import Exportable
from training.saved_model import Served, signatures

_HOLDOUT_ROWS: Final = 256
#: Batch sizes that are recorded and warmed up.
_BATCHES: Final = (1, 4, 16)
_UNSEEN: Final = "never-seen-before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A complete artifact on local disk, not yet uploaded."""

    directory: Path
    manifest: ArtifactManifest


def record_requests(directory: Path, served: Served, schema: Schema, rows: Examples) -> None:
    """Write golden requests with the exported model's own answers, and the warm-up file with the same requests."""
    batches = [dict(rows.rows(_spread(size, len(rows))).features) for size in _BATCHES if size <= len(rows)]
    if any(feature.kind == "text" for feature in schema.features):
        batches.append(_unseen(batches[0], schema))
    answers = [served.answer(batch) for batch in batches]
    cases = [
        GoldenCase(inputs=_columns(batch), outputs=_columns(answer))
        for batch, answer in zip(batches, answers, strict=True)
    ]
    _write_lines(directory / GOLDEN_NAME, [case.model_dump_json() for case in cases])
    _write_warmup(directory / WARMUP_NAME, batches)


def record_holdout(directory: Path, rows: Examples, *, seed: int) -> None:
    """Write labelled rows, spread over the slice by chance."""
    count = min(_HOLDOUT_ROWS, len(rows))
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), size=count, replace=False))
    _write_lines(directory / HOLDOUT_NAME, [_holdout_row(rows, index).model_dump_json() for index in chosen])


def complete_rows(rows: Examples) -> Examples:
    """The rows that a request can carry.

    Raises:
        TrainingRefused: there is none.
    """
    if not rows.complete.any():
        raise TrainingRefused(
            "no row of the evaluation slice has all its numbers: leave out the features that are rare"
        )
    return rows.rows(rows.complete)


def seal(
    directory: Path,
    model: Exportable,
    *,
    customer: str,
    model_id: str,
    run: RunFacts,
    inputs: tuple[InputSpec, ...] = (),
) -> Artifact:
    """The artifact of everything that lies under `directory`. `inputs` are declared where the model declares none.

    Raises:
        TrainingRefused: the model declares inputs that its ``serving_default`` does not have.
    """
    files = tuple(_file(directory, path) for path in sorted(directory.rglob("*")) if path.is_file())
    try:
        manifest = ArtifactManifest(
            customer=customer,
            model=model_id,
            files=files,
            signatures=signatures(directory),
            inputs=model.inputs or inputs,
            outputs=model.outputs,
            run=run,
        )
    except ValidationError as error:
        raise TrainingRefused(f"the model's declarations: {error.errors(include_url=False)[0]['msg']}") from error
    return Artifact(directory=directory, manifest=manifest)


def _holdout_row(rows: Examples, index: int) -> HoldoutRow:
    return HoldoutRow(
        inputs={name: column[index : index + 1].tolist()[0] for name, column in rows.features.items()},
        label=float(rows.label[index]),
        at=rows.at[index].item().replace(tzinfo=UTC),
    )


def _spread(count: int, of: int) -> Array:
    return np.linspace(0, of - 1, count).astype(np.int64)


def _unseen(batch: Mapping[str, Array], schema: Schema) -> dict[str, Array]:
    texts = {feature.name for feature in schema.features if feature.kind == "text"}
    return {name: np.full_like(column, _UNSEEN) if name in texts else column for name, column in batch.items()}


def _columns(tensors: Mapping[str, Array]) -> dict[str, list[object]]:
    return {name: column.tolist() for name, column in tensors.items()}


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _write_warmup(path: Path, batches: Sequence[Mapping[str, Array]]) -> None:
    """TF Serving's own format: a TFRecord file of `PredictionLog`."""
    import tensorflow as tf

    from roost.adapters.tf_messages import packed_tensor_from_array, prediction_log_pb2

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in batches:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = "serving_default"
            for name in sorted(batch):
                request.inputs[name].CopyFrom(packed_tensor_from_array(batch[name]))
            writer.write(log.SerializeToString(deterministic=True))


def _file(directory: Path, path: Path) -> ManifestFile:
    content = path.read_bytes()
    return ManifestFile(
        path=path.relative_to(directory).as_posix(),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        crc32c=base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
    )
