"""Who is due for retraining, and what goes when a customer leaves: both read from the object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import Conflict
from roost.contracts.ids import check_run_id, desired_object
from tests.unit.training.artifacts import deploy
from training.retirement import delete_models, still_served
from training.retraining import Wave, due, runs

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64


def serve(store: InMemoryObjectStore, pool: str, models: dict[str, dict[str, int]]) -> None:
    """Write a pool's desired state: served name to labels."""
    listed = tuple(
        DesiredModel(
            name=name,
            versions=tuple(
                DesiredVersion(version=version, digest=DIGEST, rollout_id=f"r{version}")
                for version in sorted(set(labels.values()))
            ),
            labels=labels,
        )
        for name, labels in sorted(models.items())
    )
    found = store.stat(desired_object(pool))
    content = DesiredState(pool=pool, generation=1, models=listed).encoded()
    store.write(desired_object(pool), content, if_generation=found.generation if found else 0)


@pytest.fixture
def store() -> InMemoryObjectStore:
    store = InMemoryObjectStore()
    deploy(store, "ua", 1, trained_at=NOW - timedelta(days=30))
    deploy(store, "ua", 2, trained_at=NOW - timedelta(days=10))
    deploy(store, "dl", 3, trained_at=NOW - timedelta(days=20))
    deploy(store, "yv", 4, trained_at=NOW - timedelta(days=1))
    serve(store, "default", {"ua.default": {STABLE: 2, PREVIOUS: 1}, "dl.default": {STABLE: 3}})
    serve(store, "small", {"yv.default": {STABLE: 4}})
    return store


def test_models_older_than_asked_are_due_the_oldest_first(store: InMemoryObjectStore) -> None:
    found = due(store, canary_pool="canary", before=NOW - timedelta(days=7))
    assert [entry.customer for entry in found] == ["dl", "ua"]
    assert [entry.customer for entry in due(store, canary_pool="canary", before=NOW)] == ["dl", "ua", "yv"]


def test_the_version_that_answers_counts_and_not_the_one_kept_for_rollback(store: InMemoryObjectStore) -> None:
    assert [entry.customer for entry in due(store, canary_pool="canary", before=NOW - timedelta(days=15))] == ["dl"]


def test_canaries_are_not_due(store: InMemoryObjectStore) -> None:
    assert [entry.customer for entry in due(store, canary_pool="default", before=NOW)] == ["yv"]


def test_a_model_that_vanishes_meanwhile_is_not_due(store: InMemoryObjectStore) -> None:
    name = "models/dl/default/3/MANIFEST.json"
    store.delete(name, if_generation=store.read(name)[1].generation)
    assert [entry.customer for entry in due(store, canary_pool="canary", before=NOW)] == ["ua", "yv"]


def test_a_pool_that_serves_nothing_has_nothing_due() -> None:
    assert due(InMemoryObjectStore(), canary_pool="canary", before=NOW) == []


def test_runs_are_named_by_customer_and_wave_and_spread_over_time(store: InMemoryObjectStore) -> None:
    wave = Wave(older_than=timedelta(0), limit=2, spread=timedelta(hours=1), label="20260301")
    started = runs(due(store, canary_pool="canary", before=NOW), wave, now=NOW)
    assert [run["trigger_run_id"] for run in started] == ["retrain__dl__20260301", "retrain__ua__20260301"]
    assert [run["run_after"] for run in started] == ["2026-03-01T00:00:00+00:00", "2026-03-01T00:30:00+00:00"]
    assert started[0]["conf"] == {
        "customer_id": "dl",
        "model": "default",
        "reason": "scheduled retraining: the live model was trained 2026-02-09",
        "wave_id": "20260301",
    }
    assert all(check_run_id(str(run["trigger_run_id"])) for run in started)


def test_no_one_due_starts_nothing() -> None:
    wave = Wave(older_than=timedelta(0), limit=2, spread=timedelta(hours=1), label="w")
    assert runs([], wave, now=NOW) == []


def test_whose_models_are_still_served_is_said_by_pool(store: InMemoryObjectStore) -> None:
    assert still_served(store, "ua") == ["default: ua.default"]
    assert still_served(store, "u") == []


def test_nothing_is_deleted_while_it_is_served(store: InMemoryObjectStore) -> None:
    with pytest.raises(Conflict, match=r"still served \(default: ua.default\)"):
        delete_models(store, "ua")
    assert store.stat("models/ua/default/2/saved_model.pb") is not None


def test_artifacts_go_once_unserved_and_nobody_elses_do(store: InMemoryObjectStore) -> None:
    store.write("staging/ua/default/r/saved_model.pb", b"x", if_generation=0)
    store.write("data/ua/flights.csv", b"theirs", if_generation=0)
    deploy(store, "uab", 9, trained_at=NOW)
    serve(store, "default", {"dl.default": {STABLE: 3}})
    assert delete_models(store, "ua") == 5
    assert delete_models(store, "ua") == 0
    left = {stored.name.split("/")[1] for root in ("models/", "staging/") for stored in store.list(root)}
    assert left == {"dl", "yv", "uab"}
    assert store.stat("data/ua/flights.csv") is not None
