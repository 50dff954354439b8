"""Who is due for retraining: read from the object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.desired import PREVIOUS, STABLE
from roost.contracts.ids import check_run_id
from tests.unit.training.artifacts import deploy, serve
from training.retraining import Wave, due, runs

NOW = datetime(2026, 3, 1, tzinfo=UTC)


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
    started = runs(due(store, canary_pool="canary", before=NOW), wave, now=NOW, console="http://console")
    assert [run["trigger_run_id"] for run in started] == ["retrain__dl__20260301", "retrain__ua__20260301"]
    assert [run["run_after"] for run in started] == ["2026-03-01T00:00:00+00:00", "2026-03-01T00:30:00+00:00"]
    assert started[0]["conf"] == {
        "customer_id": "dl",
        "model": "default",
        "reason": "scheduled retraining: the live model was trained 2026-02-09",
        "wave_id": "20260301",
    }
    assert started[0]["note"] == (
        "Scheduled retraining: the live model was trained 2026-02-09.\n\n"
        "[Its rollout](http://console/rollouts?run_id=retrain__dl__20260301)"
    )
    assert all(check_run_id(str(run["trigger_run_id"])) for run in started)


def test_no_one_due_starts_nothing() -> None:
    wave = Wave(older_than=timedelta(0), limit=2, spread=timedelta(hours=1), label="w")
    assert runs([], wave, now=NOW) == []
