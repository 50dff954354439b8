"""Who is due for a new model, from what the pools serve: the object store alone tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from roost.contracts.desired import DesiredState
from roost.contracts.errors import NotFound
from roost.contracts.ids import DEFAULT_MODEL, split_served_name
from roost.contracts.links import run_note
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest
from roost.ports.object_store import ObjectStore

_READERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One served model that is older than it should be."""

    customer: str
    model: str
    trained_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """How a wave of retraining is laid out."""

    #: Retrain what was trained longer ago than this.
    older_than: timedelta
    #: At most so many runs; the oldest models first, the others in the next wave.
    limit: int
    #: The runs start evenly over this time, so that they do not arrive at once.
    spread: timedelta
    #: Part of the run ids, such as the date: the same wave never starts a run twice.
    label: str


def due(store: ObjectStore, *, canary_pool: str, before: datetime) -> Sequence[Due]:
    """Models that a pool answers with and that were trained before that instant, oldest first."""
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(lambda item: _trained(store, *item), _stable(store, canary_pool))
    return sorted(
        (entry for entry in found if entry is not None and entry.trained_at < before),
        key=lambda entry: (entry.trained_at, entry.customer, entry.model),
    )


def runs(found: Sequence[Due], wave: Wave, *, now: datetime, console: str = "") -> list[dict[str, object]]:
    """Arguments of one Airflow run of `train_customer_model` for each due model, up to the wave's limit.

    `console` is its address: each run's note links to its rollout there.
    """
    chosen = found[: wave.limit]
    step = wave.spread / max(1, len(chosen))
    return [_run(entry, wave, at=now + index * step, console=console) for index, entry in enumerate(chosen)]


def _run(entry: Due, wave: Wave, *, at: datetime, console: str) -> dict[str, object]:
    run_id = f"retrain__{_name(entry)}__{wave.label}"
    reason = f"scheduled retraining: the live model was trained {entry.trained_at:%Y-%m-%d}"
    return {
        "trigger_run_id": run_id,
        "run_after": at.isoformat(),
        "note": run_note(f"{reason.capitalize()}.", console, run_id),
        "conf": {"customer_id": entry.customer, "model": entry.model, "reason": reason, "wave_id": wave.label},
    }


def _name(entry: Due) -> str:
    return entry.customer if entry.model == DEFAULT_MODEL else f"{entry.customer}.{entry.model}"


def _stable(store: ObjectStore, canary_pool: str) -> Iterator[tuple[str, str]]:
    for pool, desired in desired_states(store):
        if pool == canary_pool:
            continue
        for model in desired.models:
            if model.stable is not None:
                yield model.name, model.prefix(model.stable)


def desired_states(store: ObjectStore) -> Iterator[tuple[str, DesiredState]]:
    """Every pool and what it shall serve."""
    for found in store.list("fleet/"):
        if found.name.endswith("/desired.json"):
            content, _ = store.read(found.name)
            desired = DesiredState.decoded(content)
            yield desired.pool, desired


def _trained(store: ObjectStore, name: str, prefix: str) -> Due | None:
    try:
        content, _ = store.read(prefix + MANIFEST_NAME)
    except NotFound:
        # Retired between the two reads; who serves it still is the reconciler's alarm, not a reason to train.
        return None
    customer, model = split_served_name(name)
    run = ArtifactManifest.received(content).run
    return Due(customer=customer, model=model, trained_at=run.trained_at)
