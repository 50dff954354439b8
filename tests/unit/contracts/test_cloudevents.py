"""The codec: what is written is read again, in either mode; what is wrong is named."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.contracts.cloudevents import MAX_EVENT_BYTES, Event, decode, encode
from roost.contracts.errors import InvalidEvent
from roost.contracts.events import (
    CUSTOMER_SIGNED_UP,
    MODEL_READY,
    CustomerOffboarded,
    CustomerSignedUp,
    Topic,
)

IDS = st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def an_event(customer: str = "acme", name: str = "", event_id: str = "e1", traceparent: str | None = None) -> Event:
    return Event(
        id=event_id,
        type=CUSTOMER_SIGNED_UP,
        source="test",
        subject=customer,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data=CustomerSignedUp(customer=customer, name=name),
        traceparent=traceparent,
    )


@given(customer=IDS, name=TEXT, event_id=TEXT.filter(bool), traceparent=st.none() | TEXT.filter(bool))
def test_binary_mode_round_trips(customer: str, name: str, event_id: str, traceparent: str | None) -> None:
    event = an_event(customer, name, event_id, traceparent)
    message = encode(event)
    assert message.key == customer.encode()
    assert decode(message.value, message.headers) == event


@given(customer=IDS, name=TEXT)
def test_structured_mode_is_read_alike(customer: str, name: str) -> None:
    event = an_event(customer, name)
    document = {
        "specversion": "1.0", "id": event.id, "type": event.type, "source": event.source, "subject": event.subject,
        "time": event.time.isoformat(), "data": event.data.model_dump(mode="json"),
    }  # fmt: skip
    headers = [("content-type", b"application/cloudevents+json")]
    assert decode(json.dumps(document).encode(), headers) == event


def test_a_trace_is_told_to_tracing_libraries_too_and_taken_from_them_where_the_event_names_none() -> None:
    told = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    message = encode(an_event(traceparent=told))
    assert dict(message.headers)["traceparent"] == dict(message.headers)["ce_traceparent"] == told.encode()
    plain = tuple(pair for pair in message.headers if pair[0] != "ce_traceparent")
    assert decode(message.value, plain).traceparent == told
    other = (*message.headers[:-1], ("traceparent", b"00-other"))
    assert decode(message.value, other).traceparent == told


@pytest.mark.parametrize("document", [[1, 2], "text", None, 3.5])
def test_a_structured_event_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidEvent, match="must be a JSON object"):
        decode(json.dumps(document).encode(), [("content-type", b"application/cloudevents+json")])


@given(
    value=st.binary(max_size=300), headers=st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=30)), max_size=8)
)
def test_any_bytes_are_an_event_or_named_invalid(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    # Nothing else may come out: whatever else does would stop the consumer.
    with contextlib.suppress(InvalidEvent):
        assert isinstance(decode(value, headers), Event)


def test_unknown_fields_of_a_newer_producer_are_let_pass() -> None:
    message = encode(an_event())
    value = json.dumps(json.loads(message.value) | {"plan": "gold"}).encode()
    assert decode(value, message.headers) == an_event()


def test_a_type_carries_its_own_payload_only() -> None:
    from dataclasses import replace

    with pytest.raises(InvalidEvent, match="CustomerOffboarded"):
        encode(replace(an_event(), data=CustomerOffboarded(customer="acme")))
    with pytest.raises(InvalidEvent, match="nope"):
        encode(replace(an_event(), type="nope"))


def test_the_size_limit_is_exact() -> None:
    headers = encode(an_event()).headers
    body = b'{"customer":"acme"}'
    assert decode(body + b" " * (MAX_EVENT_BYTES - len(body)), headers)
    with pytest.raises(InvalidEvent, match=str(MAX_EVENT_BYTES + 1)):
        decode(body + b" " * (MAX_EVENT_BYTES - len(body) + 1), headers)


def test_a_header_that_is_not_text_is_named() -> None:
    with pytest.raises(InvalidEvent, match="ce_id is not UTF-8"):
        decode(b"{}", [("ce_id", b"\xff")])


def test_each_type_knows_its_topic() -> None:
    assert an_event().topic is Topic.CUSTOMERS
    assert MODEL_READY.startswith("roost.")
