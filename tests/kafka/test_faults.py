"""Three brokers, of which some are killed while events flow: whole histories are compared, not counts."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Self

import pytest

from deployer.rollout.loop import Bell, Loop
from deployer.rollout.parts import Parts
from deployer.rollout.relay import Relay
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.kafka import open_publisher, open_source
from roost.adapters.kafka.admin import IN_SYNC
from roost.adapters.postgres import PostgresLedger
from roost.contracts.cloudevents import Event
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import (
    CUSTOMER_SIGNED_UP,
    OPERATION_REPORTED,
    CustomerSignedUp,
    OperationReported,
    Topic,
)
from roost.contracts.policy import Policy
from roost.ports.clock import SystemClock
from tests.kafka.history import assert_same, sent_order
from tests.kafka.three import ThreeBrokers, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def reported(customer: str, number: int) -> Event:
    data = OperationReported(what="test.counted", customer=customer, actor="test", reason=f"event {number}")
    name = f"{customer}-{number}"
    return Event(id=name, type=OPERATION_REPORTED, source="tests", subject=customer, time=T0, data=data)


def signed_up(customer: str, number: int) -> Event:
    data = CustomerSignedUp(customer=customer, name=str(number))
    name = f"{customer}-{number}"
    return Event(id=name, type=CUSTOMER_SIGNED_UP, source="tests", subject=customer, time=T0, data=data)


class Outbox:
    """The deployer's relay at work, and somebody who goes on filling its outbox."""

    def __init__(self, ledger: PostgresLedger, kafka: ThreeBrokers) -> None:
        self._ledger, self._publisher = ledger, open_publisher(kafka.settings)
        parts = Parts(ledger=ledger, store=InMemoryObjectStore(), policy=Policy(), clock=SystemClock())
        relay = Relay(parts, self._publisher)
        self.loop = Loop("relay", lambda: 0 if relay.step() else None, Bell(), SystemClock(), idle=0.05)
        self.sent: list[Event] = []
        self._stop, self._full = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._fill, self._relay)]

    def _fill(self) -> None:
        number = 0
        while not self._full.is_set():
            events = [reported(f"c{customer}", number) for customer in range(20)]
            self._ledger.add_events(events)
            self.sent += events
            number += 1
            self._full.wait(0.05)

    def _relay(self) -> None:
        self.loop.run(self._stop)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._full.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(90)
        self._publisher.close()

    def published(self) -> int:
        return len(self.sent) - self._ledger.pending_events()

    def until_more(self, count: int = 200) -> None:
        """So many more have been published."""
        before = self.published()
        until(f"{count} more are published", lambda: self.published() >= before + count)

    def until_empty(self) -> None:
        self._full.set()
        self._threads[0].join(120)
        until("the outbox is empty", lambda: self._ledger.pending_events() == 0)


def test_an_outbox_loses_nothing_and_keeps_each_customers_order_while_leaders_are_killed_and_come_back(
    kafka: ThreeBrokers, ledger: PostgresLedger
) -> None:
    with Outbox(ledger, kafka) as outbox:
        outbox.until_more()
        for _ in range(2):
            gone = kafka.busiest(Topic.DEPLOY_EVENTS)
            gone.kill()
            kafka.until_led_by_others(Topic.DEPLOY_EVENTS, gone)
            outbox.until_more()
            gone.start()
            kafka.until_in_sync(Topic.DEPLOY_EVENTS, 3)
            outbox.until_more()
        outbox.until_empty()
    assert_same(sent_order(outbox.sent), kafka.order_of(Topic.DEPLOY_EVENTS))


def test_with_too_few_replicas_in_sync_publishing_fails_by_name_and_goes_on_once_they_are_back(
    kafka: ThreeBrokers,
) -> None:
    publisher = open_publisher(kafka.settings)
    before = [signed_up("before", number) for number in range(5)]
    publisher.publish_all(before)
    kafka.configure(Topic.CUSTOMERS, {IN_SYNC: "3"})
    gone = kafka.busiest(Topic.CUSTOMERS)
    gone.kill()
    kafka.until_in_sync(Topic.CUSTOMERS, 2)
    refused = signed_up("refused", 0)
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"replicas"):
        publisher.publish(refused)
    assert time.monotonic() - started < 180
    gone.start()
    kafka.until_in_sync(Topic.CUSTOMERS, 3)
    kafka.configure(Topic.CUSTOMERS, {IN_SYNC: "2"})
    publisher.publish(refused)
    publisher.close()
    seen = kafka.order_of(Topic.CUSTOMERS)
    assert_same(sent_order([*before, refused]), {name: seen[name] for name in ("before", "refused")})


def test_with_two_of_three_brokers_gone_everybody_waits_and_goes_on_by_themselves(kafka: ThreeBrokers) -> None:
    publisher, source = open_publisher(kafka.settings), open_source(kafka.settings, [Topic.MODELS_READY], "waiters")
    until("it has joined", lambda: (source.poll(0.2), source.lag())[1])
    gone = [kafka.node(1), kafka.node(3)]
    for node in gone:
        node.kill()
    event = signed_up("patient", 0)
    with pytest.raises(BrokerUnavailable):
        publisher.publish(event)
    for node in gone:
        node.launch()
    for node in gone:
        node.wait()
    until("it is published", lambda: publisher.publish(event) is None)
    publisher.close()
    source.close()
    assert kafka.order_of(Topic.CUSTOMERS)["patient"] == ["tests patient-0"]
