"""What every event bus must do, in memory and against a real broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.contracts.cloudevents import Event, Message, decode
from roost.contracts.errors import BrokerUnavailable, Permanent
from roost.contracts.event_rights import Group
from roost.contracts.events import CUSTOMER_SIGNED_UP, CustomerSignedUp, Topic
from roost.ports.clock import SystemClock
from roost.ports.event_bus import Delivery, EventPublisher, EventSource, TopicAdmin, TopicReader, TopicSpec, topics
from roost.settings import KafkaSettings

pytestmark = [pytest.mark.contract, pytest.mark.bus]


@dataclass(frozen=True)
class Bus:
    publisher: EventPublisher
    admin: TopicAdmin
    join: Callable[[str], EventSource]
    reader: TopicReader


@pytest.fixture(params=["memory", "broker"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """A bus with its topics made, and nothing in them that another test's group would see."""
    if request.param == "memory":
        memory = InMemoryBus(SystemClock())
        memory.ensure(topics(partitions=3, replication=1))
        yield Bus(memory.publisher(), memory, lambda group: memory.source([Topic.CUSTOMERS], group), memory)
        return
    from roost.adapters.kafka import open_admin, open_publisher, open_reader, open_source

    settings: KafkaSettings = request.getfixturevalue("fresh_broker")
    admin, publisher, opened = open_admin(settings), open_publisher(settings), []
    admin.ensure(topics(partitions=3, replication=1))
    of_this_test = uuid.uuid4().hex

    def join(group: str) -> EventSource:
        # The broker may be one that earlier tests' groups have offsets and members on.
        opened.append(open_source(settings, [Topic.CUSTOMERS], f"{group}-{of_this_test}"))
        return opened[-1]

    yield Bus(publisher, admin, join, open_reader(settings))
    for source in opened:
        source.close()
    publisher.close()


def an_event(customer: str, name: str = "") -> Event:
    return Event(
        id=str(uuid.uuid4()),
        type=CUSTOMER_SIGNED_UP,
        source="test",
        subject=customer,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data=CustomerSignedUp(customer=customer, name=name),
    )


def drain(source: EventSource, count: int, seconds: float = 60) -> list[Delivery]:
    """Poll until that many have come, or the deadline."""
    found: list[Delivery] = []
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found.extend(source.poll(0.2))
    return found


def names(deliveries: Sequence[Delivery]) -> list[str]:
    return [decode(one.value, one.headers).data.name for one in deliveries]  # type: ignore[attr-defined]  # signups only


def test_what_is_published_comes_out_as_it_went_in(bus: Bus) -> None:
    event = an_event("acme", "Acme")
    bus.publisher.publish(event)
    [delivery] = drain(bus.join("g"), 1)
    assert decode(delivery.value, delivery.headers) == event
    assert (delivery.topic, delivery.key) == ("customers", b"acme")
    assert delivery.timestamp_ms > 1_600_000_000_000


def test_one_customers_events_keep_their_order(bus: Bus) -> None:
    bus.publisher.publish_all([an_event(f"c{number % 5}", str(number)) for number in range(50)])
    found = drain(bus.join("g"), 50)
    for customer in range(5):
        mine = [one for one in found if one.key == f"c{customer}".encode()]
        assert len({one.partition for one in mine}) == 1
        assert names(mine) == [str(number) for number in range(customer, 50, 5)]


def test_raw_bytes_and_headers_pass_unchanged(bus: Bus) -> None:
    body = bytes(range(256)) * 100
    bus.publisher.send(Topic.CUSTOMERS, Message(key=b"k", value=body, headers=(("a", b"\xff"), ("a", b""))))
    [delivery] = drain(bus.join("g"), 1)
    assert (delivery.value, tuple(delivery.headers)) == (body, (("a", b"\xff"), ("a", b"")))


def test_what_was_committed_does_not_come_again(bus: Bus) -> None:
    bus.publisher.publish_all([an_event("acme", str(number)) for number in range(3)])
    first = bus.join("g")
    found = drain(first, 3)
    first.commit(found[:2])
    first.close()
    assert names(drain(bus.join("g"), 1)) == ["2"]


def test_what_was_not_committed_comes_again(bus: Bus) -> None:
    bus.publisher.publish(an_event("acme", "x"))
    first = bus.join("g")
    drain(first, 1)
    first.close()
    assert names(drain(bus.join("g"), 1)) == ["x"]


def test_what_is_given_back_comes_with_the_next_poll(bus: Bus) -> None:
    bus.publisher.publish_all([an_event("acme", str(number)) for number in range(4)])
    source = bus.join("g")
    found = drain(source, 4)
    source.commit(found[:1])
    source.give_back(found[1:])
    assert names(drain(source, 3)) == ["1", "2", "3"]


def test_groups_do_not_disturb_each_other(bus: Bus) -> None:
    bus.publisher.publish(an_event("acme", "x"))
    for group in ("one", "two"):
        source = bus.join(group)
        found = drain(source, 1)
        source.commit(found)
        assert names(found) == ["x"]


def test_lag_counts_what_is_behind(bus: Bus) -> None:
    bus.publisher.publish_all([an_event("acme", str(number)) for number in range(3)])
    source = bus.join("g")
    found = drain(source, 3)
    assert sum(source.lag().values()) == 0
    source.give_back(found[1:])
    assert sum(source.lag().values()) == 2


def test_the_broker_says_how_far_behind_a_group_is_and_how_many_are_in_it(fresh_broker: KafkaSettings) -> None:
    """`roost topics lag` ended with a traceback: the embedded broker grants rights that have no name.

    And of events that were sent together it saw the first only.
    """
    from roost.adapters.kafka import lag, open_admin, open_publisher, open_source

    open_admin(fresh_broker).ensure(topics(partitions=3, replication=1))
    publisher = open_publisher(fresh_broker)
    publisher.publish_all([an_event("acme", str(number)) for number in range(3)])
    source = open_source(fresh_broker, [Topic.CUSTOMERS], Group.SIGNUPS.value)
    found = drain(source, 3)
    source.give_back(found[1:])
    source.commit(found[:1])
    rows = [row for row in lag(fresh_broker) if row.group == Group.SIGNUPS.value]
    assert (sum(row.lag for row in rows), {row.members for row in rows}) == (2, {1})
    source.close()
    publisher.close()


def test_a_reader_sees_all_and_takes_nothing_away(bus: Bus) -> None:
    assert list(bus.reader.read(Topic.CUSTOMERS)) == []
    bus.publisher.publish_all([an_event(f"c{number}", str(number)) for number in range(20)])
    found = list(bus.reader.read(Topic.CUSTOMERS))
    assert sorted(names(found), key=int) == [str(number) for number in range(20)]
    for one in (found[0], found[-1]):
        assert bus.reader.at(Topic.CUSTOMERS, one.partition, one.offset) == one
    assert bus.reader.at(Topic.CUSTOMERS, 0, 999) is None
    assert bus.reader.at(Topic.CUSTOMERS, 99, 0) is None
    assert len(drain(bus.join("g"), 20)) == 20


def test_committing_nothing_is_no_work(bus: Bus) -> None:
    bus.join("g").commit([])


def test_ten_megabytes_are_refused_by_size_and_the_publisher_goes_on(bus: Bus) -> None:
    with pytest.raises(Permanent, match="size"):
        bus.publisher.send(Topic.CUSTOMERS, Message(key=b"k", value=b"x" * 10_000_000))
    bus.publisher.publish(an_event("acme", "after"))
    assert names(drain(bus.join("g"), 1)) == ["after"]


def test_ensuring_topics_twice_changes_nothing(bus: Bus) -> None:
    assert set(bus.admin.ensure(topics(partitions=3, replication=1)).values()) == {"unchanged"}


def test_another_retention_is_brought_about(bus: Bus) -> None:
    spec = TopicSpec(name=Topic.CUSTOMERS, partitions=3, retention_ms=3_600_000)
    assert bus.admin.ensure([spec]) == {"customers": "changed"}
    assert bus.admin.ensure([spec]) == {"customers": "unchanged"}


def test_fewer_partitions_are_refused_by_name(bus: Bus) -> None:
    with pytest.raises(Permanent, match=r"customers has 3 partitions"):
        bus.admin.ensure([TopicSpec(name=Topic.CUSTOMERS, partitions=1, retention_ms=-1)])


@pytest.mark.parametrize("kind", ["memory", "broker"])
def test_a_bus_that_is_away_says_so(kind: str, unused_port: int) -> None:
    from roost.adapters.kafka import open_admin, open_publisher, open_source

    if kind == "memory":
        memory = InMemoryBus(SystemClock(), reachable=False)
        publisher, source, admin = memory.publisher(), memory.source([Topic.CUSTOMERS], "g"), memory
    else:
        settings = KafkaSettings(bootstrap=f"127.0.0.1:{unused_port}")
        publisher, admin = open_publisher(settings), open_admin(settings)  # type: ignore[assignment]  # another adapter
        source = open_source(settings, [Topic.CUSTOMERS], "g")  # type: ignore[assignment]  # another adapter
    for act in (
        lambda: publisher.publish(an_event("acme")),
        lambda: source.poll(0.1),
        lambda: admin.ensure(topics(partitions=1, replication=1)),
    ):
        with pytest.raises(BrokerUnavailable):
            act()
