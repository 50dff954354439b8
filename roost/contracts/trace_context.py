"""W3C trace context: what a `traceparent` says, and spans whose id anybody can compute. Pure.

Source: the W3C recommendation Trace Context, level 1, section 3.2. A text that breaks it says nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# A later version may carry more after the flags; version ff is forbidden, as are ids of zeros alone.
_FORM: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED: Final = 0x01
#: Of a desired object's metadata: the span that wrote this generation, and the places of the rollouts that it carries.
GENERATION_KEY: Final = "roost_traceparent"
PLACES_KEY: Final = "roost_places"
#: Places that one object's metadata carries: an object store allows 8 KiB of them, and one takes 73 bytes.
MOST_PACKED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """One place in one trace."""

    #: 32 hexadecimal digits, the same for a signup's whole way.
    trace_id: str
    #: 16 hexadecimal digits.
    span_id: str
    #: Whether somebody upstream wants this trace kept.
    sampled: bool

    @classmethod
    def parsed(cls, traceparent: str | None) -> TraceContext | None:
        """What a `traceparent` says; None where it is none."""
        found = _FORM.fullmatch(traceparent or "")
        if found is None or (found["version"] == "00" and found["more"]):
            return None
        return cls(trace_id=found["trace"], span_id=found["span"], sampled=bool(int(found["flags"], 16) & _SAMPLED))

    @property
    def traceparent(self) -> str:
        """As a header carries it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id; None where there is no trace."""
    found = TraceContext.parsed(traceparent)
    return found.trace_id if found else None


def within(traceparent: str | None, key: str) -> str | None:
    """The place in the same trace that `key` names, the same for everybody who asks; None where there is no trace.

    So a process can name a span as parent that another one writes, or that is written only once it has ended.
    """
    found = TraceContext.parsed(traceparent)
    if found is None:
        return None
    span_id = hashlib.sha256(f"{found.trace_id}/{key}".encode()).hexdigest()[:16]
    return TraceContext(trace_id=found.trace_id, span_id=span_id, sampled=found.sampled).traceparent


def packed(places: Mapping[str, str]) -> str:
    """Places by rollout id as one text, the first `MOST_PACKED` of them."""
    return " ".join(f"{key}={place}" for key, place in list(places.items())[:MOST_PACKED])


def unpacked(text: str) -> dict[str, str]:
    """What `packed` packed. What is no place is left out."""
    pairs = (word.partition("=") for word in text.split())
    return {key: place for key, _, place in pairs if TraceContext.parsed(place)}
