"""Several members of a group while partitions go from one to another: the whole history of each customer is compared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roost.adapters.kafka import open_publisher
from roost.adapters.postgres import PostgresLedger, open_ledger
from roost.contracts.cloudevents import Event
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import DEPLOY_COMMAND, Command, DeployCommand, Topic
from roost.settings import DatabaseSettings
from tests.kafka.history import assert_same
from tests.kafka.members import Members
from tests.kafka.three import ThreeBrokers, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = 30


@pytest.fixture
def ledger(database_settings: DatabaseSettings) -> Iterator[PostgresLedger]:
    found = open_ledger(database_settings)
    yield found
    found.close()


@pytest.fixture
def members(kafka: ThreeBrokers, database_settings: DatabaseSettings, tmp_path: Path) -> Iterator[Members]:
    found = Members(kafka.settings, database_settings, tmp_path)
    yield found
    found.end()


class People:
    """Thirty customers' engineers, each of whom sends one command after the other, every third of them twice."""

    def __init__(self, kafka: ThreeBrokers) -> None:
        self._publisher = open_publisher(kafka.settings)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent: dict[str, list[str]] = {f"c{number}": [] for number in range(CUSTOMERS)}

    def __enter__(self) -> dict[str, list[str]]:
        self._thread.start()
        return self.sent

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(120)
        self._publisher.close()

    def _send(self) -> None:
        number = 0
        while not self._enough.is_set():
            events = [_command(customer, number) for customer in self.sent]
            self._until_taken(events if number % 3 else [*events, *events])
            for event in events:
                self.sent[event.subject].append(event.id)
            number += 1
            self._enough.wait(0.1)

    def _until_taken(self, events: list[Event]) -> None:
        while True:
            try:
                self._publisher.publish_all(events)
            except BrokerUnavailable:
                # Any of them may have been published: all go again, as the port asks for.
                continue
            return


def test_members_that_join_leave_die_and_freeze_lose_nothing_turn_nothing_round_and_take_nothing_twice(
    kafka: ThreeBrokers, ledger: PostgresLedger, members: Members
) -> None:
    def more(count: int = 3 * CUSTOMERS) -> Callable[[], bool]:
        before = len(ledger.commands(100_000))
        return lambda: len(ledger.commands(100_000)) >= before + count

    with People(kafka) as sent:
        first, second = members.join(), members.join()
        until("both poll", lambda: first.ready() and second.ready())
        until("commands are taken", more())
        third = members.join()
        until("three poll", third.ready)
        first.kill()
        until("two go on", more())
        second.freeze()
        fourth = members.join()
        until("the others have its partitions", lambda: len({*third.lag(_TOPIC), *fourth.lag(_TOPIC)}) == 6)
        until("they go on", more())
        second.thaw()
        third.leave()
        gone = kafka.busiest(Topic.DEPLOY_COMMANDS)
        gone.kill()
        kafka.until_led_by_others(Topic.DEPLOY_COMMANDS, gone)
        until("they go on without a broker", more())
        gone.start()
        until("they go on with all brokers", more())
    expected = sum(len(ids) for ids in sent.values())
    until("everything is taken", lambda: len(ledger.commands(100_000)) >= expected)
    taken: dict[str, list[str]] = {}
    for row in reversed(ledger.commands(100_000)):
        taken.setdefault(str(row.command.customer), []).append(row.event_id.removeprefix("tests "))
    assert_same(sent, taken)


def _command(customer: str, number: int) -> Event:
    data = DeployCommand(command=Command.RETRY, actor="ann", reason=f"number {number}", customer=customer)
    name = f"{customer}-{number}"
    return Event(id=name, type=DEPLOY_COMMAND, source="tests", subject=customer, time=T0, data=data)


_TOPIC = Topic.DEPLOY_COMMANDS.value
