"""Dead letters keep what came, bit by bit, as far as a broker takes it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dead_letters import KEPT_OF_LONGER, MAX_VALUE, DeadLetter, unwrap, wrap
from roost.adapters.in_memory.event_bus import MAX_MESSAGE_BYTES
from roost.contracts.cloudevents import Message
from roost.contracts.errors import Permanent
from roost.contracts.events import Topic
from roost.ports.event_bus import Delivery

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def a_delivery(**changes: object) -> Delivery:
    fields: dict[str, object] = {
        "topic": "customers", "partition": 2, "offset": 15, "key": b"acme", "value": b"\x00\xff", "headers": (("h", b"\xfe"),),
        "timestamp_ms": 1,
    }  # fmt: skip
    return Delivery(**(fields | changes))  # type: ignore[arg-type]  # tests write what they like


def round_trip(delivery: Delivery, reason: str = "why") -> DeadLetter:
    message = wrap(delivery, reason, at=T0)
    size = len(message.key) + len(message.value) + sum(len(name) + len(text) for name, text in message.headers)
    assert size < MAX_MESSAGE_BYTES
    carried = a_delivery(
        topic="dead.letters", key=message.key, value=message.value, headers=message.headers, partition=0
    )
    return unwrap(carried)


@given(
    key=st.binary(max_size=200),
    value=st.binary(max_size=500),
    headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=5),
    reason=st.text(max_size=3000),
)
def test_any_message_can_be_replayed_as_it_came(
    key: bytes, value: bytes, headers: list[tuple[str, bytes]], reason: str
) -> None:
    reason = reason.encode(errors="replace").decode()
    letter = round_trip(a_delivery(key=key, value=value, headers=tuple(headers)), reason)
    assert letter.original() == (Topic.CUSTOMERS, Message(key=key, value=value, headers=tuple(headers)))
    assert reason.startswith(letter.reason)


def test_a_letter_says_where_it_came_from() -> None:
    letter = round_trip(a_delivery(), "the reason")
    assert (letter.topic, letter.partition, letter.offset) == ("customers", 2, 15)
    assert (letter.reason, letter.at, letter.size) == ("the reason", T0.isoformat(), 2)


def test_ten_megabytes_are_kept_as_size_hash_and_beginning() -> None:
    value = bytes(range(256)) * 40_000
    letter = round_trip(a_delivery(value=value))
    assert (letter.size, letter.sha256) == (len(value), hashlib.sha256(value).hexdigest())
    assert letter.value == value[:KEPT_OF_LONGER]
    with pytest.raises(Permanent, match="does not hold a whole message"):
        letter.original()


def test_what_just_fits_is_kept_whole() -> None:
    assert round_trip(a_delivery(value=b"x" * MAX_VALUE)).complete


@pytest.mark.parametrize("part", ["key", "headers"])
def test_a_huge_key_or_header_does_not_stop_the_burial(part: str) -> None:
    huge = {"key": b"k" * 2_000_000, "headers": (("h", b"x" * 2_000_000),)}[part]
    assert not round_trip(a_delivery(**{part: huge})).complete


@pytest.mark.parametrize("part", ["key", "value"])
def test_a_null_stays_a_null_and_cannot_be_replayed(part: str) -> None:
    letter = round_trip(a_delivery(**{part: None}))
    assert getattr(letter, part) is None
    with pytest.raises(Permanent):
        letter.original()


def test_a_strangers_message_is_shown_and_not_replayed() -> None:
    letter = unwrap(a_delivery(topic="dead.letters", headers=()))
    assert "not a dead letter" in letter.reason
    with pytest.raises(Permanent):
        letter.original()
