"""The loop: what is handled, what is buried, what waits, what is committed."""

from __future__ import annotations

import json
import threading

import pytest

from consumers.breaker import FIRST_PAUSE, JUDGED_FROM
from roost.contracts.cloudevents import Event, encode
from roost.contracts.errors import DatabaseUnavailable, SettingsInvalid
from roost.contracts.events import CustomerSignedUp, Topic
from tests.unit.consumers.conftest import World, an_event

STOP = threading.Event()


def put_raw(world: World, value: bytes | None, key: bytes | None = b"acme", **changes: str | None) -> None:
    attributes: dict[str, str | None] = {
        "specversion": "1.0",
        "id": "e1",
        "type": "roost.customer.signed_up.v1",
        "source": "crm",
        "subject": "acme",
        "time": "2026-01-01T00:00:00Z",
    }
    headers = [(f"ce_{name}", text.encode()) for name, text in (attributes | changes).items() if text is not None]
    world.bus.put("customers", 0, key, value, headers)


def lag(world: World) -> int:
    """What a member that joined now would get."""
    committed = world.bus.offsets.get(("roost-customers", "customers", 0), 0)
    return len(list(world.bus.read(Topic.CUSTOMERS))) - committed


def test_an_event_becomes_a_row_and_is_committed(world: World) -> None:
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme")))
    loop = world.loop()
    loop.step(STOP)
    assert world.ledger.onboarding("acme") is not None
    assert lag(world) == 0
    assert loop.trouble is None


@pytest.mark.parametrize(
    ("value", "key", "changes", "says"),
    [
        (None, b"acme", {}, "null value"),
        (b"\x00\xff", b"acme", {}, "not JSON"),
        (b"[" * 100_000, b"acme", {}, "not JSON"),
        (b"x" * 300_000, b"acme", {}, "300000 bytes"),
        (b'{"customer":"../etc"}', b"../etc", {"subject": "../etc"}, "customer"),
        (b'{"customer":"a/../b"}', b"acme", {}, "customer"),
        (b'{"customer":"acme\\n"}', b"acme", {}, "customer"),
        (b'{"customer":"acme"}', b"acme", {"type": None}, "no type"),
        (b'{"customer":"acme"}', b"acme", {"type": "roost.customer.signed_up.v9"}, "not known"),
        (b'{"customer":"acme"}', b"acme", {"type": "roost.operation.reported.v1"}, "what"),
        (b'{"customer":"acme"}', b"acme", {"id": None}, "no id"),
        (b'{"customer":"acme"}', b"acme", {"id": "x" * 300}, "300 characters"),
        (b'{"customer":"acme"}', b"acme", {"time": None}, "no time"),
        (b'{"customer":"acme"}', b"acme", {"time": "yesterday"}, "time"),
        (b'{"customer":"acme"}', b"acme", {"specversion": "0.3"}, "0.3"),
        (b'{"customer":"other"}', b"acme", {}, "'acme' is not its customer 'other'"),
        (b'{"customer":"acme"}', b"other", {}, "key b'other' is not the event's subject"),
        (b'{"customer":"acme"}', None, {}, "key b''"),
    ],
)
def test_poison_is_buried_with_its_reason_and_the_partition_goes_on(
    world: World, value: bytes | None, key: bytes | None, changes: dict[str, str | None], says: str
) -> None:
    put_raw(world, value, key, **changes)
    world.publisher.publish(an_event(CustomerSignedUp(customer="after")))
    world.loop().step(STOP)
    [reason] = world.dead()
    assert says in reason
    assert world.ledger.onboarding("after") is not None
    assert world.ledger.onboarding("acme") is None
    assert lag(world) == 0


def test_an_event_of_another_topic_is_poison(world: World) -> None:
    from roost.contracts.events import Command, DeployCommand

    command = DeployCommand(command=Command.FREEZE, actor="ann", reason="x", customer="acme")
    message = encode(an_event(command))
    world.bus.put("customers", 0, message.key, message.value, message.headers)
    world.loop().step(STOP)
    assert "belongs on topic deploy.commands" in world.dead()[0]


def test_structured_mode_is_accepted(world: World) -> None:
    document = {
        "specversion": "1.0", "id": "e1", "type": "roost.customer.signed_up.v1", "source": "crm", "subject": "acme",
        "time": "2026-01-01T00:00:00Z", "data": {"customer": "acme"},
    }  # fmt: skip
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    world.bus.put("customers", 0, b"acme", json.dumps(document).encode(), headers)
    world.loop().step(STOP)
    assert world.ledger.onboarding("acme") is not None


@pytest.mark.parametrize("attribute", ["id", "source", "subject", "traceparent"])
@pytest.mark.parametrize("text", ["\ud800", "a\u0000b"])
def test_text_that_no_database_takes_is_poison(world: World, attribute: str, text: str) -> None:
    document = {
        "specversion": "1.0", "id": "e1", "type": "roost.customer.signed_up.v1", "source": "crm", "subject": "acme",
        "time": "2026-01-01T00:00:00Z", "data": {"customer": "acme"}, attribute: text,
    }  # fmt: skip
    headers = [("content-type", b"application/cloudevents+json")]
    world.bus.put("customers", 0, b"acme", json.dumps(document).encode(), headers)
    world.loop().step(STOP)
    assert f"{attribute} {text!r}" in world.dead()[0]


def test_what_cannot_be_handled_now_comes_again_in_order_and_is_never_buried(world: World) -> None:
    failures = [DatabaseUnavailable("away")] * 3
    seen: list[str] = []

    def handle(event: Event) -> bool:
        if event.id == "e2" and failures:
            raise failures.pop()
        seen.append(event.id)
        return True

    for number in (1, 2, 3):
        world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), f"e{number}"))
    loop = world.loop(handler=handle)
    loop.step(STOP)
    assert (seen, loop.trouble) == (["e1"], "away")
    assert lag(world) == 2
    for _ in range(3):
        loop.step(STOP)
    assert seen == ["e1", "e2", "e3"]
    assert (world.dead(), lag(world), loop.trouble) == ([], 0, None)


def test_waiting_grows_and_stays_below_what_a_group_allows(world: World) -> None:
    def away(event: Event) -> bool:
        raise DatabaseUnavailable("away")

    world.publisher.publish(an_event(CustomerSignedUp(customer="acme")))
    loop = world.loop(handler=away)
    waits = []
    for _ in range(12):
        before = world.clock.monotonic()
        loop.step(STOP)
        waits.append(world.clock.monotonic() - before)
    assert waits[0] <= 0.5 < waits[-1] <= 5.0


def test_while_the_dead_letters_cannot_be_written_poison_waits(world: World) -> None:
    put_raw(world, b"garbage")
    dead = world.bus.logs.pop("dead.letters")
    loop = world.loop()
    loop.step(STOP)
    assert "dead.letters is missing" in (loop.trouble or "")
    assert lag(world) == 1
    world.bus.logs["dead.letters"] = dead
    loop.step(STOP)
    assert (len(world.dead()), lag(world)) == (1, 0)


def test_a_bus_that_is_away_is_trouble_until_it_answers(world: World) -> None:
    loop = world.loop()
    world.bus.reachable = False
    loop.step(STOP)
    assert loop.trouble == "the bus does not answer"
    world.bus.reachable = True
    loop.step(STOP)
    assert loop.trouble is None


def test_settings_that_cannot_work_end_the_loop(world: World) -> None:
    def broken(event: Event) -> bool:
        raise SettingsInvalid("bad")

    world.publisher.publish(an_event(CustomerSignedUp(customer="acme")))
    with pytest.raises(SettingsInvalid):
        world.loop(handler=broken).step(STOP)
    assert world.dead() == []


def test_a_bug_in_a_handler_crashes_and_loses_nothing(world: World) -> None:
    def buggy(event: Event) -> bool:
        raise ZeroDivisionError

    world.publisher.publish(an_event(CustomerSignedUp(customer="acme")))
    with pytest.raises(ZeroDivisionError):
        world.loop(handler=buggy).run(threading.Event())
    assert (world.dead(), lag(world)) == ([], 1)


def test_draining_commits_what_was_done_and_leaves_the_rest(world: World) -> None:
    stop = threading.Event()

    def handle(event: Event) -> bool:
        if event.id == "e2":
            stop.set()
        return True

    for number in range(1, 6):
        world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), f"e{number}"))
    world.loop(handler=handle).run(stop)
    assert lag(world) == 3


def test_when_all_is_poison_the_breaker_bounds_the_dead_letters(world: World) -> None:
    for _ in range(200):
        put_raw(world, b"garbage")
    loop = world.loop()
    loop.step(STOP)
    assert len(world.dead()) == JUDGED_FROM
    assert "poison" in (loop.trouble or "")
    for _ in range(4):
        loop.step(STOP)
    # Each pause lets one through.
    assert len(world.dead()) == JUDGED_FROM + 2
    assert lag(world) == 200 - len(world.dead())


def test_after_the_pause_a_good_event_closes_the_breaker(world: World) -> None:
    for _ in range(JUDGED_FROM):
        put_raw(world, b"garbage")
    loop = world.loop()
    loop.step(STOP)
    world.publisher.publish(an_event(CustomerSignedUp(customer="acme")))
    before = world.clock.monotonic()
    loop.step(STOP)
    assert world.clock.monotonic() - before == pytest.approx(FIRST_PAUSE)
    loop.step(STOP)
    assert world.ledger.onboarding("acme") is not None
    assert loop.trouble is None


def test_some_poison_among_good_events_opens_nothing(world: World) -> None:
    for number in range(100):
        put_raw(world, b"garbage")
        world.publisher.publish(an_event(CustomerSignedUp(customer="acme"), f"e{number}"))
    loop = world.loop()
    loop.step(STOP)
    assert (len(world.dead()), loop.trouble, lag(world)) == (100, None, 0)
