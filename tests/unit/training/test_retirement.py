"""What goes when a customer leaves, and what stays when they came back: read from the object store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.desired import PREVIOUS, STABLE
from roost.contracts.errors import ArtifactInvalid, Conflict
from roost.contracts.ids import InvalidId, staging_prefix
from roost.contracts.manifest import MANIFEST_NAME
from tests.unit.training.artifacts import deploy, manifest, serve
from training.retirement import delete_models, still_served

LEFT = datetime(2026, 3, 1, tzinfo=UTC)
BEFORE, SINCE = LEFT - timedelta(days=10), LEFT + timedelta(hours=1)
UA = "ua.default"


def stage(store: InMemoryObjectStore, run_id: str, *, trained_at: datetime | None) -> None:
    """Put an artifact where training would; without `trained_at` one that is not complete."""
    prefix = staging_prefix("ua", "default", run_id)
    store.write(prefix + "saved_model.pb", b"x", if_generation=0)
    if trained_at is not None:
        store.write(prefix + MANIFEST_NAME, manifest(trained_at=trained_at).encoded(), if_generation=0)


def left(store: InMemoryObjectStore, customer: str = "ua") -> set[str]:
    """Root and last part of the prefix of what is stored of the customer."""
    names = [stored.name.split("/") for root in ("models", "staging") for stored in store.list(f"{root}/{customer}/")]
    return {f"{parts[0]}/{parts[3]}" for parts in names}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEFORE)


@pytest.fixture
def store(clock: ManualClock) -> InMemoryObjectStore:
    """A customer with two versions, of whom one run staged a model and another one died."""
    store = InMemoryObjectStore(clock=clock)
    deploy(store, "ua", 1, trained_at=BEFORE - timedelta(days=20))
    deploy(store, "ua", 2, trained_at=BEFORE)
    stage(store, "old", trained_at=BEFORE)
    stage(store, "died", trained_at=None)
    deploy(store, "dl", 3, trained_at=BEFORE)
    serve(store, "default", {UA: {STABLE: 2, PREVIOUS: 1}, "dl.default": {STABLE: 3}})
    return store


def test_whose_models_are_still_served_is_said_by_pool(store: InMemoryObjectStore) -> None:
    assert still_served(store, "ua", left_at=LEFT) == ["default: ua.default"]
    assert still_served(store, "u", left_at=LEFT) == []


def test_nothing_is_deleted_while_it_is_served(store: InMemoryObjectStore) -> None:
    with pytest.raises(Conflict, match=r"still served \(default: ua.default\)"):
        delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"models/1", "models/2", "staging/old", "staging/died"}


def test_artifacts_go_once_unserved_and_nobody_elses_do(store: InMemoryObjectStore) -> None:
    store.write("data/ua/flights.csv", b"theirs", if_generation=0)
    deploy(store, "uab", 9, trained_at=BEFORE)
    serve(store, "default", {"dl.default": {STABLE: 3}})
    assert delete_models(store, "ua", left_at=LEFT) == 7
    assert delete_models(store, "ua", left_at=LEFT) == 0
    assert (left(store), left(store, "dl"), left(store, "uab")) == (set(), {"models/3"}, {"models/9"})
    assert store.stat("data/ua/flights.csv") is not None


def test_what_was_trained_at_the_very_instant_of_leaving_goes() -> None:
    store = InMemoryObjectStore(clock=ManualClock(LEFT))
    deploy(store, "ua", 1, trained_at=LEFT)
    stage(store, "died", trained_at=None)
    assert delete_models(store, "ua", left_at=LEFT) == 3


def test_a_new_artifact_of_a_customer_who_came_back_while_the_run_waited_stays(store: InMemoryObjectStore) -> None:
    """The deletion was once bound to the customer: signing up again while it waited lost the new model."""
    serve(store, "default", {"dl.default": {STABLE: 3}})
    stage(store, "new", trained_at=SINCE)
    assert delete_models(store, "ua", left_at=LEFT) == 7
    assert left(store) == {"staging/new"}


def test_the_first_upload_of_a_customer_who_came_back_is_never_taken_halfway(
    store: InMemoryObjectStore, clock: ManualClock
) -> None:
    """Files that came during the seconds of the old retirement have no manifest yet: some of them were deleted."""
    serve(store, "default", {"dl.default": {STABLE: 3}})
    clock.advance((LEFT - BEFORE).total_seconds() + 0.001)
    stage(store, "new", trained_at=None)
    store.write("models/ua/default/3/saved_model.pb", b"half", if_generation=0)
    delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"models/3", "staging/new"}


def test_a_late_copy_of_what_was_trained_before_goes_and_a_late_upload_stays(
    store: InMemoryObjectStore, clock: ManualClock
) -> None:
    serve(store, "default", {"dl.default": {STABLE: 3}})
    clock.advance((SINCE - BEFORE).total_seconds())
    deploy(store, "ua", 4, trained_at=BEFORE)
    stage(store, "new", trained_at=BEFORE)
    delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"staging/new"}


def test_retirement_does_not_wait_for_names_that_are_there_again(store: InMemoryObjectStore) -> None:
    """An old failed run that somebody cleared once waited for, then deleted, what served the customer again."""
    deploy(store, "ua", 4, trained_at=SINCE)
    serve(store, "default", {UA: {STABLE: 4}, "dl.default": {STABLE: 3}})
    assert still_served(store, "ua", left_at=LEFT) == []
    delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"models/4"}


@pytest.mark.parametrize("pool", ["default", "canary"])
def test_a_version_that_any_pool_lists_is_never_deleted_however_old(store: InMemoryObjectStore, pool: str) -> None:
    deploy(store, "ua", 4, trained_at=SINCE)
    serve(store, "default", {"dl.default": {STABLE: 3}})
    serve(store, pool, {UA: {STABLE: 4, PREVIOUS: 2}})
    delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"models/2", "models/4"}


def test_a_listed_version_without_a_manifest_does_not_say_that_the_customer_came_back(
    store: InMemoryObjectStore,
) -> None:
    serve(store, "default", {UA: {STABLE: 7}})
    assert still_served(store, "ua", left_at=LEFT) == ["default: ua.default"]


def test_an_artifact_whose_age_nobody_can_read_stops_the_deletion(store: InMemoryObjectStore) -> None:
    serve(store, "default", {"dl.default": {STABLE: 3}})
    store.write("staging/ua/default/odd/MANIFEST.json", b"{}", if_generation=0)
    with pytest.raises(ArtifactInvalid, match=r"odd/MANIFEST\.json is not a manifest"):
        delete_models(store, "ua", left_at=LEFT)
    assert left(store) == {"models/1", "models/2", "staging/old", "staging/died", "staging/odd"}


def test_a_customer_that_is_no_id_is_refused(store: InMemoryObjectStore) -> None:
    for use in (still_served, delete_models):
        with pytest.raises(InvalidId):
            use(store, "../ua", left_at=LEFT)


def test_what_the_customer_asked_goes_with_their_models_and_nobody_elses(
    store: InMemoryObjectStore, clock: ManualClock
) -> None:
    old, foreign = "recorded/ua/default/20260101T000000.000000Z-n.tfrecord", "recorded/ua2/default/x.tfrecord"
    for name in (old, foreign):
        store.write(name, b"x", if_generation=0)
    clock.advance((SINCE - BEFORE).total_seconds())
    store.write("recorded/ua/default/new.tfrecord", b"x", if_generation=0)
    serve(store, "default", {"dl.default": {STABLE: 3}})

    delete_models(store, "ua", left_at=LEFT)

    assert [stored.name for stored in store.list("recorded/")] == ["recorded/ua/default/new.tfrecord", foreign]
