"""CloudEvents 1.0 over Kafka: binary mode is written, binary and structured mode are read.

Source: the CloudEvents specification 1.0.2 and its Kafka protocol binding. Header names are ``ce_<attribute>``;
the value is the JSON payload; the key is the customer id, so that one customer's events keep their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from roost.contracts.errors import InvalidEvent
from roost.contracts.events import CATALOGUE, Payload, Topic

Headers = Sequence[tuple[str, bytes]]

#: An event is a small fact; artifacts travel by the object store.
MAX_EVENT_BYTES: Final = 256 * 1024
_STRUCTURED: Final = "application/cloudevents+json"
#: A header of the message, beside the event's own attribute.
_TRACEPARENT: Final = "traceparent"
_REQUIRED: Final = ("id", "source", "specversion", "type")
_TIME: Final = TypeAdapter(AwareDatetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One CloudEvent with a payload of the catalogue."""

    id: str
    type: str
    source: str
    #: The customer id, or the pool where no customer is concerned.
    subject: str
    time: AwareDatetime
    data: Payload
    #: W3C trace context, if any.
    traceparent: str | None = None

    @property
    def topic(self) -> Topic:
        """Where events of this type go."""
        return CATALOGUE[self.type][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What goes over Kafka."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = field(default=())


def encode(event: Event) -> Message:
    """The event in binary mode.

    Raises:
        InvalidEvent: if the type is not in the catalogue, or the payload is not that type's.
    """
    known = CATALOGUE.get(event.type)
    if known is None or not isinstance(event.data, known[0]):
        raise InvalidEvent(f"event type {event.type!r} does not carry {type(event.data).__name__}")
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time.isoformat(),
    }
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    headers.append(("content-type", b"application/json"))
    if event.traceparent:
        # The attribute is CloudEvents', the plain header what tracing libraries of Kafka clients read.
        headers += [(name, event.traceparent.encode()) for name in ("ce_traceparent", _TRACEPARENT)]
    return Message(key=event.subject.encode(), value=event.data.model_dump_json().encode(), headers=tuple(headers))


def decode(value: bytes | None, headers: Headers) -> Event:
    """The event in a message, written in either mode.

    Raises:
        InvalidEvent: saying what is wrong: empty, too big, not JSON, an attribute missing, an unknown type,
            a bad field.
    """
    if value is None:
        raise InvalidEvent("the message is empty (a null value)")
    if len(value) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"the message has {len(value)} bytes; an event has at most {MAX_EVENT_BYTES}")
    attributes, data = _open(value, {name.lower(): content for name, content in headers})
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise InvalidEvent(f"the event has no {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise InvalidEvent(f"CloudEvents version {attributes['specversion']!r} is not known; expected 1.0")
    return _event(attributes, data)


def _open(value: bytes, headers: Mapping[str, bytes]) -> tuple[dict[str, str], object]:
    document = _json(value)
    if headers.get("content-type", b"").startswith(_STRUCTURED.encode()):
        if not isinstance(document, dict):
            raise InvalidEvent("a structured event must be a JSON object")
        attributes = {name: text for name, text in document.items() if isinstance(text, str) and name != "data"}
        return _with_transport(attributes, headers), document.get("data")
    attributes = {name[3:]: _text(name, content) for name, content in headers.items() if name.startswith("ce_")}
    return _with_transport(attributes, headers), document


def _with_transport(attributes: dict[str, str], headers: Mapping[str, bytes]) -> dict[str, str]:
    """Where the event names no trace, what the producer's tracing library says of the message."""
    carried = headers.get(_TRACEPARENT, b"").decode("ascii", "replace")
    return {"traceparent": carried, **attributes} if carried else attributes


def _event(attributes: dict[str, str], data: object) -> Event:
    known = CATALOGUE.get(attributes["type"])
    if known is None:
        raise InvalidEvent(f"event type {attributes['type'][:120]!r} is not known")
    try:
        payload = known[0].model_validate(data)
        time = _TIME.validate_python(attributes["time"]) if "time" in attributes else None
    except ValidationError as error:
        raise InvalidEvent(f"{attributes['type']}: {_first(error)}") from error
    if time is None:
        raise InvalidEvent("the event has no time")
    return Event(
        id=attributes["id"],
        type=attributes["type"],
        source=attributes["source"],
        subject=attributes.get("subject", ""),
        time=time,
        data=payload,
        traceparent=attributes.get("traceparent"),
    )


def _json(value: bytes) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"the message is not JSON: {error}") from error


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"header {name} is not UTF-8") from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    where = ".".join(str(part) for part in found[0]["loc"]) or "payload"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{where}: {found[0]['msg']}{more}"
