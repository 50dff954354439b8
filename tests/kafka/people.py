"""Engineers who send commands while members of a group come and go, and what each of them sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from roost.adapters.kafka import open_publisher
from roost.contracts.cloudevents import Event
from roost.contracts.errors import BrokerUnavailable
from roost.contracts.events import DEPLOY_COMMAND, Command, DeployCommand
from roost.ports.ledger import Ledger
from roost.settings import KafkaSettings
from tests.kafka.history import assert_same
from tests.kafka.three import until

T0 = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = 30
#: More rows than there can be.
_ALL = 100_000


class People:
    """Thirty customers' engineers, each of whom sends one command after the other, every third of them twice."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._publisher = open_publisher(kafka)
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


def _command(customer: str, number: int) -> Event:
    data = DeployCommand(command=Command.RETRY, actor="ann", reason=f"number {number}", customer=customer)
    name = f"{customer}-{number}"
    return Event(id=name, type=DEPLOY_COMMAND, source="tests", subject=customer, time=T0, data=data)


def more(ledger: Ledger) -> Callable[[], bool]:
    """Tells, from when it is asked for, whether three commands a customer have been taken since."""
    before = len(ledger.commands(_ALL))
    return lambda: len(ledger.commands(_ALL)) >= before + 3 * CUSTOMERS


def assert_all_taken(sent: Mapping[str, Sequence[str]], ledger: Ledger) -> None:
    """Everything that was sent is taken, once and in each customer's order; waits for the last."""
    expected = sum(len(ids) for ids in sent.values())
    until("everything is taken", lambda: len(ledger.commands(_ALL)) >= expected)
    taken: dict[str, list[str]] = {}
    for row in reversed(ledger.commands(_ALL)):
        taken.setdefault(str(row.command.customer), []).append(row.event_id.removeprefix("tests "))
    assert_same(sent, taken)
