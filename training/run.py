"""One training run, from rows to a staged artifact, in one process."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from roost.contracts.ids import DEFAULT_MODEL, check_run_id, served_name
from roost.contracts.manifest import RunFacts
from roost.contracts.policy import Policy
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.settings import TrainingSettings
from training.checks import check, split
from training.cohort import Gathered, gather
from training.datasets import Dataset
from training.declarations import declared_inputs
from training.evaluation import evaluate
from training.examples import TrainingRefused, Window
from training.export import Artifact, complete_rows, record_holdout, record_requests, seal
from training.models import Trainer
from training.saved_model import Served, save, signatures
from training.staging import Staged, next_attempt, stage

log = logging.getLogger(__name__)

#: Told one sentence at each step.
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is to be trained."""

    customer: str
    run_id: str
    model: str = DEFAULT_MODEL
    #: None: all rows there are.
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a run works with."""

    dataset: Dataset
    trainer: Trainer
    store: ObjectStore
    policy: Policy
    settings: TrainingSettings
    clock: Clock


def prepare(request: RunRequest, dataset: Dataset, policy: Policy) -> Gathered:
    """Check the ids and gather the rows; no TensorFlow.

    Raises:
        InvalidId: naming the id.
        TrainingRefused: saying what the data lack.
    """
    served_name(request.customer, request.model)
    check_run_id(request.run_id)
    gathered = gather(dataset, policy, request.customer, request.window)
    training, _ = split(gathered.examples)
    check(request.customer, dataset.schema(gathered.schema_of), training)
    return gathered


def train_and_stage(request: RunRequest, workshop: Workshop, progress: Progress) -> Staged:
    """The whole run. One that was staged completely before is returned as it is, without training again.

    Raises:
        TrainingRefused: the data or the model are not fit; saying why.
        StorageUnavailable: try again; nothing half-written counts.
    """
    gathered = prepare(request, workshop.dataset, workshop.policy)
    attempt = next_attempt(workshop.store, request.customer, request.model, request.run_id)
    if isinstance(attempt, Staged):
        progress(f"staged by an earlier attempt: {attempt.uri}")
        return attempt
    pooled = f" of {', '.join(gathered.cohort)}" if gathered.cohort else ""
    progress(f"{len(gathered.examples)} rows{pooled}, {gathered.scope} data")
    with tempfile.TemporaryDirectory(prefix="roost-training-") as directory:
        artifact = _build(request, workshop, gathered, (attempt, Path(directory) / "export"), progress)
        progress(f"staging {len(artifact.manifest.files)} files, {artifact.manifest.size} bytes")
        return stage(workshop.store, artifact)


def _build(
    request: RunRequest, workshop: Workshop, gathered: Gathered, place: tuple[str, Path], progress: Progress
) -> Artifact:
    run_id, directory = place
    schema = workshop.dataset.schema(gathered.schema_of)
    training, later = split(gathered.examples)
    seed = workshop.settings.seed
    configure_tensorflow(threads=workshop.settings.threads)
    progress(f"training on {len(training)} rows until {training.window.end:%Y-%m-%d}")
    model = workshop.trainer.fit(training, schema, seed=seed)
    save(model, directory)
    with Served(directory) as served:
        answers = served.answer(later.features)
        if model.answer not in answers:
            raise TrainingRefused(f"the model has no output {model.answer}; it has {', '.join(sorted(answers))}")
        metrics = evaluate(schema, answers=answers[model.answer], label=later.label, trained_label=training.label)
        progress("later rows: " + ", ".join(f"{name} {value:g}" for name, value in metrics.items()))
        whole = complete_rows(later)
        record_requests(directory, served, schema, whole)
        default = next(each for each in signatures(directory) if each.name == "serving_default")
        inputs = model.inputs or declared_inputs(schema, training, default, served.answer)
    record_holdout(directory, whole, seed=seed)
    window = request.window or gathered.examples.window
    facts = RunFacts(
        run_id=run_id,
        trained_at=workshop.clock.now(),
        code_version=workshop.settings.code_version,
        seed=seed,
        data_window=window.isoformat(),
        rows_trained=len(training),
        metrics=metrics,
        scope=gathered.scope,
        cohort=gathered.cohort,
    )
    return seal(directory, model, customer=request.customer, model_id=request.model, run=facts, inputs=inputs)


@cache
def configure_tensorflow(*, threads: int) -> None:
    """Import TensorFlow on the CPU, deterministic, with that many threads where it has not started any yet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        log.info("TensorFlow runs already: its threads stay as they are")
