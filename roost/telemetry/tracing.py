"""Traces: the place that this thread works at, and spans of what it does there.

Off until `start` was called: then nothing is written and OpenTelemetry is not imported, and a context that came with an
event is still passed on and named in logs. A trace is told of, never waited for: nothing here raises for a collector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from roost.contracts.cloudevents import Event

Attribute = str | int | float | bool
#: ``consumer`` and ``producer`` are the two ends of a message.
Kind = Literal["internal", "consumer", "producer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A span that begins now. `parent` is a traceparent; None begins a new trace."""

    name: str
    parent: str | None
    kind: Kind = "internal"
    links: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A span that is told of once it is over, at a place that others may have named as parent before.

    See `roost.contracts.trace_context.within`.
    """

    name: str
    traceparent: str
    parent: str
    began: datetime
    ended: datetime
    links: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    #: Why it failed; None where it did not.
    error: str | None = None


class Live(Protocol):
    """A span under way."""

    @property
    def traceparent(self) -> str:
        """Its place."""

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more of it."""

    def end(self, error: str | None) -> None:
        """It is over. One that is never ended is never written."""


class Backend(Protocol):
    """Where spans go. Safe for threads; neither waits nor raises."""

    def begin(self, begun: Begun) -> Live:
        """A span that begins now."""

    def write(self, finished: Finished) -> None:
        """A span that is over."""

    def close(self, seconds: float) -> None:
        """Hand over what waits, for at most that long."""


class Span:
    """What `span` gives."""

    def __init__(self, traceparent: str | None, live: Live | None = None) -> None:
        """`live` is None where traces are off: then `traceparent` is the parent's, passed on as it came."""
        self.traceparent = traceparent
        self.dropped = False
        self._live = live

    def note(self, **attributes: Attribute) -> None:
        """Say more of it."""
        if self._live is not None:
            self._live.note(attributes)

    def drop(self) -> None:
        """Nothing was done that is worth telling: it is not written."""
        self.dropped = True


@dataclass(slots=True)
class _State:
    backend: Backend | None = None


_STATE = _State()
_HERE: ContextVar[str | None] = ContextVar("roost_traceparent", default=None)


def start(backend: Backend) -> None:
    """Spans of this process go to `backend` from now on."""
    _STATE.backend = backend


def stop(seconds: float = 2.0) -> None:
    """Hand over what waits, for at most that long, and be off again."""
    backend, _STATE.backend = _STATE.backend, None
    if backend is not None:
        backend.close(seconds)


def on() -> bool:
    """Whether spans are written at all."""
    return _STATE.backend is not None


def here() -> str | None:
    """The place that this thread works at now, as a traceparent."""
    return _HERE.get()


@contextmanager
def bound(traceparent: str | None) -> Iterator[None]:
    """Work at that place, without a span: logs name it."""
    token = _HERE.set(traceparent)
    try:
        yield
    finally:
        _HERE.reset(token)


@contextmanager
def span(
    name: str,
    parent: str | None,
    attributes: Mapping[str, Attribute] | None = None,
    *,
    kind: Kind = "internal",
    links: Sequence[str] = (),
) -> Iterator[Span]:
    """A span around the body. What the body raises is noted, and goes on."""
    backend = _STATE.backend
    if backend is None:
        with bound(parent):
            yield Span(parent)
        return
    live = backend.begin(Begun(name=name, parent=parent, kind=kind, links=links, attributes=attributes or {}))
    found = Span(live.traceparent, live)
    with bound(live.traceparent):
        try:
            yield found
        except BaseException as error:
            live.end(f"{type(error).__name__}: {error}")
            raise
    if not found.dropped:
        live.end(None)


def write(finished: Finished) -> None:
    """Tell of a span that is over."""
    if _STATE.backend is not None:
        _STATE.backend.write(finished)


@contextmanager
def publishing(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """The events as they shall be published: each at the place of its own sending; those of no trace as they are."""
    backend = _STATE.backend
    if backend is None:
        yield events
        return
    traced = [(event, _sending(backend, event)) for event in events]
    sent = [replace(event, traceparent=live.traceparent) if live else event for event, live in traced]
    failed: str | None = None
    try:
        yield sent
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
        raise
    finally:
        for _, live in traced:
            if live is not None:
                live.end(failed)


def _sending(backend: Backend, event: Event) -> Live | None:
    if event.traceparent is None:
        return None
    attributes = {"roost.event_id": event.id, "roost.event_type": event.type, "roost.customer": event.subject}
    name = f"{event.topic.value} publish"
    return backend.begin(Begun(name=name, parent=event.traceparent, kind="producer", attributes=attributes))
