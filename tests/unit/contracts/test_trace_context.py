"""A `traceparent` says what W3C says it says, and nothing where it breaks the form."""

from __future__ import annotations

import pytest

from roost.contracts.trace_context import MOST_PACKED, TraceContext, packed, trace_id, unpacked, within

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("fe", False)])
def test_a_context_is_read_and_written_alike(flags: str, sampled: bool) -> None:
    found = TraceContext.parsed(f"00-{TRACE}-{SPAN}-{flags}")
    assert found == TraceContext(trace_id=TRACE, span_id=SPAN, sampled=sampled)
    assert found.traceparent == f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_no_trace_context_says_nothing(text: str | None) -> None:
    assert TraceContext.parsed(text) is None
    assert trace_id(text) is None
    assert within(text, "key") is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_id(f"01-{TRACE}-{SPAN}-01-more") == TRACE


def test_a_named_place_is_in_the_same_trace_and_the_same_for_everybody() -> None:
    here = f"00-{TRACE}-{SPAN}-01"
    there = TraceContext.parsed(within(here, "rollout/2"))
    assert there is not None
    assert (there.trace_id, there.sampled) == (TRACE, True)
    assert there.span_id != SPAN
    assert within(f"00-{TRACE}-{'a' * 16}-01", "rollout/2") == there.traceparent
    assert within(here, "rollout/3") != there.traceparent


def test_places_are_packed_into_one_text_as_many_as_an_object_carries() -> None:
    places = {f"{number:016x}": f"00-{TRACE}-{number:016x}-01" for number in range(1, MOST_PACKED + 5)}
    text = packed(places)
    assert unpacked(text) == dict(list(places.items())[:MOST_PACKED])
    assert len(text) < 5000
    assert unpacked("one=two garbage " + text) == unpacked(text)
    assert unpacked("") == {}
