"""One suite for recorded requests, on the store in memory and on a real one spoken to with Google's client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.recordings import StoredRecordings
from roost.contracts.ids import InvalidId
from roost.ports.object_store import ObjectStore
from roost.ports.recordings import RecordedRequest, Recordings

pytestmark = pytest.mark.contract


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recordings(store: ObjectStore, clock: ManualClock) -> Recordings:
    return StoredRecordings(store, clock)


def a_request(number: int, at: datetime) -> RecordedRequest:
    inputs = {
        "distance": np.array([number, np.nan], np.float32),
        "plane": np.array([number, 2**62], np.int64),
        "origin": np.array([b"EWR", "Zürich".encode()], object),
    }
    return RecordedRequest(at=at.replace(microsecond=0), version=number, inputs=inputs)


def test_what_was_kept_comes_back_newest_first_with_every_type(recordings: Recordings, clock: ManualClock) -> None:
    for number in (1, 2, 3):
        clock.advance(60)
        recordings.keep("ua.default", [a_request(number, clock.now())], node=f"node-{4 - number}")

    found = list(recordings.newest("ua.default", 2))

    assert [request.version for request in found] == [3, 2]
    assert found[0].at == clock.now().replace(microsecond=0)
    assert found[0].inputs["distance"].dtype == np.float32
    assert np.array_equal(found[0].inputs["distance"], np.array([3, np.nan], np.float32), equal_nan=True)
    assert found[0].inputs["plane"].tolist() == [3, 2**62]
    assert found[0].inputs["origin"].tolist() == [b"EWR", "Zürich".encode()]


def test_requests_of_one_object_come_newest_first_too(recordings: Recordings, clock: ManualClock) -> None:
    at = clock.now()
    recordings.keep("ua.default", [a_request(n, at + timedelta(seconds=n)) for n in (1, 2, 3)], node="node-1")

    assert [request.version for request in recordings.newest("ua.default", 10)] == [3, 2, 1]


def test_customers_and_models_do_not_see_each_other(recordings: Recordings, clock: ManualClock) -> None:
    recordings.keep("ua.default", [a_request(1, clock.now())], node="node-1")

    for name in ("u.default", "ua.defaul", "ua.default2", "dl.default"):
        assert list(recordings.newest(name, 10)) == []


def test_a_damaged_file_is_passed_over(recordings: Recordings, store: ObjectStore, clock: ManualClock) -> None:
    recordings.keep("ua.default", [a_request(1, clock.now())], node="node-1")
    whole, _ = store.read(next(iter(store.list("recorded/"))).name)
    for number, content in enumerate((whole[:-3], b"garbage", whole[:20] + b"x" + whole[21:])):
        store.write(f"recorded/ua/default/2999010{number}T000000.000000Z-n.tfrecord", content, if_generation=0)

    assert [request.version for request in recordings.newest("ua.default", 10)] == [1]


def test_pruning_follows_each_customers_own_time_and_touches_nothing_else(
    recordings: Recordings, store: ObjectStore, clock: ManualClock
) -> None:
    for name in ("ua.default", "oo.default"):
        recordings.keep(name, [a_request(1, clock.now())], node="node-1")
    store.write("recorded/README", b"by a person", if_generation=0)
    clock.advance(3600)
    recordings.keep("ua.default", [a_request(2, clock.now())], node="node-1")

    def keep(customer: str) -> timedelta:
        return timedelta(minutes=30) if customer == "ua" else timedelta(hours=2)

    assert recordings.prune(now=clock.now(), keep=keep) == 1
    assert [request.version for request in recordings.newest("ua.default", 10)] == [2]
    assert [request.version for request in recordings.newest("oo.default", 10)] == [1]
    assert store.read("recorded/README")[0] == b"by a person"
    assert recordings.prune(now=datetime(2999, 1, 1, tzinfo=UTC), keep=keep) == 2


@pytest.mark.parametrize("name", ["../ua.default", "ua", "ua/default", "ua.default/x"])
def test_a_name_that_is_none_reaches_no_path(recordings: Recordings, clock: ManualClock, name: str) -> None:
    with pytest.raises(InvalidId):
        recordings.keep(name, [a_request(1, clock.now())], node="node-1")
    with pytest.raises(InvalidId):
        list(recordings.newest(name, 1))
