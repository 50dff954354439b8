"""What is recorded of what was asked: by lot, within bounds, never waiting, and gone after its time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import REGISTRY

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.recordings import StoredRecordings
from roost.contracts.policy import Policy
from serving.node.app.catalogue import Catalogue, NodeFacts, ServedVersion, Wanted
from serving.node.app.rules import RuleBook
from serving.node.taps.budget import HourlyBudget
from serving.node.taps.copies import Copy
from serving.node.taps.gathering import TapParts
from serving.node.taps.recorder import Recorder
from serving.node.taps.redaction import Redactor
from tests.unit.node_app.world import World, a_row

PATH = "/v1/models/{}/labels/stable:predict"


class Tapped:
    """A recorder over the world of the page."""

    def __init__(self, policy: dict[str, object], chances: Iterator[float] | None = None) -> None:
        self.world = World()
        self.world.serve("ua.default", 3)
        self.clock = ManualClock()
        self.store = InMemoryObjectStore()
        self.recordings = StoredRecordings(self.store, self.clock)
        facts = NodeFacts(desired=self.world.desired, state=self.world.state, manifest=self.world.manifest)
        self.catalogue = Catalogue(facts)
        parts = TapParts(
            book=RuleBook(Policy.model_validate(policy)),
            catalogue=self.catalogue,
            redactor=Redactor(b"key"),
            recordings=lambda: self.recordings,
            clock=self.clock,
            node="node-1",
            chance=(lambda: next(chances)) if chances else (lambda: 0.0),
        )
        self.recorder = Recorder(parts, flush_seconds=60)

    def served(self, name: str = "ua.default") -> ServedVersion:
        return self.catalogue.at(name, 3)

    def ask(self, count: int = 1, customer: str = "ua", *, origin: str = "EWR") -> None:
        """Copies, each looked at once it is there."""
        body = json.dumps({"instances": [a_row(origin=origin)]}).encode()
        for _ in range(count):
            self.recorder.offer_copy(Copy(path=PATH.format(f"{customer}.default"), body=body))
            self.recorder.step()

    def flush(self) -> list[int]:
        """The versions of what is in the store then, newest first."""
        self.clock.advance(60)
        self.recorder.step()
        return [request.version for request in self.recordings.newest("ua.default", 1000)]


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("roost_tap_requests_total", {"result": result}) or 0.0


ALL = {"rules": {"taps": {"rate": 1}}}


def test_a_copy_and_an_offer_are_written_with_the_next_flush_and_not_before() -> None:
    tapped = Tapped(ALL)
    tapped.ask()
    inputs = {"origin": np.array([b"EWR"], object), "distance": np.array([7], np.float32)}
    tapped.recorder.offer(Wanted(customer="ua", model="default"), tapped.served(), inputs)
    tapped.recorder.step()

    assert list(tapped.store.list("recorded/")) == []
    assert tapped.flush() == [3, 3]
    (stored,) = tapped.store.list("recorded/")
    assert stored.name == "recorded/ua/default/20260101T000100.000000Z-node-1.tfrecord"
    assert tapped.flush() == [3, 3]


def test_a_customer_who_is_answered_by_the_default_is_recorded_under_their_own_name() -> None:
    tapped = Tapped(ALL)
    tapped.world.serve("everyone.default", 3)

    tapped.recorder.offer(
        Wanted(customer="new", model="default"),
        tapped.served("everyone.default"),
        {"distance": np.array([7], np.float32)},
    )
    tapped.recorder.step()
    tapped.flush()

    assert [stored.name.split("/")[1] for stored in tapped.store.list("recorded/")] == ["new"]


def test_a_rate_of_zero_records_nothing_of_that_customer() -> None:
    tapped = Tapped({**ALL, "customers": {"ua": {"taps": {"rate": 0}}}})

    tapped.ask()
    tapped.recorder.offer(Wanted(customer="ua", model="default"), tapped.served(), {"distance": np.zeros(1)})

    assert tapped.flush() == []


def test_lots_make_of_the_highest_rate_the_customers_own() -> None:
    """The gateway copies 40 of 100; a customer with 10 of 100 keeps a quarter of the copies."""
    tapped = Tapped(
        {"rules": {"taps": {"rate": 0.1}}, "customers": {"dl": {"taps": {"rate": 0.4}}}},
        iter([0.24, 0.26, 0.09, 0.11]),
    )
    tapped.ask(2)
    wanted = Wanted(customer="ua", model="default")
    for _ in range(2):
        tapped.recorder.offer(wanted, tapped.served(), {"distance": np.zeros(1, np.float32)})

    tapped.recorder.step()

    assert tapped.flush() == [3, 3]


def test_an_hour_records_so_many_and_spreads_them() -> None:
    budget, clock = HourlyBudget(), ManualClock()
    taken = []
    for _ in range(120):
        taken.append(sum(budget.take("ua.default", 24, clock.now()) for _ in range(10)))
        clock.advance(60)

    assert sum(taken[:60]) == sum(taken[60:]) == 24
    assert max(taken) == 2
    assert budget.take("dl.default", 1, clock.now())
    assert not budget.take("dl.default", 1, clock.now())


def test_what_is_over_the_hours_bound_is_counted_and_not_kept() -> None:
    tapped, before = Tapped({"rules": {"taps": {"rate": 1, "per_hour": 12}}}), counted("over")

    tapped.ask(5)

    assert tapped.flush() == [3]
    assert counted("over") - before == 4


def test_a_request_that_is_too_large_is_not_recorded() -> None:
    tapped = Tapped({"rules": {"taps": {"rate": 1, "max_kb": 0.05, "fields": {"origin": "keep"}}}})

    tapped.ask(origin="x" * 100)
    tapped.recorder.offer_copy(Copy(path=PATH.format("ua.default"), body=b"x" * (1024 * 1024 + 1)))
    tapped.ask()

    assert tapped.flush() == [3]


def test_offers_never_wait_however_many_there_are() -> None:
    tapped, before = Tapped(ALL), counted("full")

    # Nobody takes from the queue: an offer that waited would wait for ever.
    for _ in range(200):
        tapped.recorder.offer_copy(Copy(path="/", body=b""))

    assert counted("full") - before == 200 - 64


def test_memory_is_bounded_while_the_store_is_away_and_what_fits_is_written_once_it_is_back() -> None:
    tapped = Tapped({"rules": {"taps": {"rate": 1, "per_hour": 100_000, "max_kb": 600, "fields": {"origin": "keep"}}}})
    tapped.store.outage = "away"
    before = counted("full")

    tapped.ask(40, origin="x" * 500_000)
    assert tapped.clock.monotonic() == 0
    tapped.clock.advance(60)
    tapped.recorder.step()
    assert counted("full") - before == 40 - 33
    tapped.store.outage = None

    assert len(tapped.flush()) == 33


def test_a_copy_for_a_model_that_is_not_there_is_not_taken_for_one_of_the_default() -> None:
    """The model server refuses it: it was never answered, by nobody's model."""
    tapped = Tapped({"rules": {"taps": {"rate": 1}, "predictions": {"cohort_default": "ua"}}})

    tapped.ask(customer="new")

    assert tapped.flush() == []
    assert list(tapped.store.list("")) == []


@pytest.mark.parametrize(
    "path", [PATH.format("dl.default"), PATH.format("../x"), PATH.format("ua"), "/tensorflow.serving.Reload", PATH]
)
def test_a_copy_of_nobody_reaches_nothing(path: str) -> None:
    tapped, before = Tapped(ALL), counted("unfit")

    tapped.recorder.offer_copy(Copy(path=path, body=json.dumps({"instances": [a_row()]}).encode()))
    tapped.recorder.step()
    tapped.clock.advance(60)
    tapped.recorder.step()

    assert list(tapped.store.list("")) == []
    assert counted("unfit") - before == 1


def test_what_is_older_than_its_customer_wants_is_deleted_once_a_day() -> None:
    tapped = Tapped({"rules": {"taps": {"rate": 1, "retention_hours": 1}}})
    tapped.ask()
    assert tapped.flush() == [3]

    tapped.clock.advance(24 * 3600)
    tapped.recorder.step()

    assert tapped.flush() == []


def test_the_end_writes_what_is_there() -> None:
    tapped = Tapped(ALL)
    tapped.recorder.start()
    body = json.dumps({"instances": [a_row()]}).encode()
    tapped.recorder.offer_copy(Copy(path=PATH.format("ua.default"), body=body))

    tapped.recorder.stop()

    assert [request.version for request in tapped.recordings.newest("ua.default", 9)] == [3]
