"""Dead letters: a message that can never be handled, kept as it came, with where it came from and why.

Value and key are the original's bytes; facts about it are headers ``dead_<name>``; the original's own headers follow
as ``original_<name>``. The broker takes about 1 MiB: of a bigger message the first bytes are kept, with its size and
hash, and the letter says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from roost.contracts.cloudevents import Headers, Message
from roost.contracts.errors import Permanent
from roost.contracts.events import Topic
from roost.ports.event_bus import Delivery

#: A value up to here is kept whole. Bytes.
MAX_VALUE: Final = 900_000
#: What is kept of a longer one.
KEPT_OF_LONGER: Final = 64 * 1024
_MAX_KEY: Final = 4 * 1024
_MAX_HEADERS: Final = 32 * 1024
_MAX_REASON: Final = 2_000
_FACT: Final = "dead_"
_ORIGINAL: Final = "original_"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One dead letter, read back."""

    #: ``<partition>-<offset>`` in the dead letters' own topic.
    id: str
    reason: str
    topic: str
    partition: int
    offset: int
    #: When it was buried, ISO 8601.
    at: str
    #: Bytes of the original value.
    size: int
    sha256: str
    #: Whether value, key and headers are all here as they came.
    complete: bool
    key: bytes | None
    value: bytes | None
    headers: Headers

    def original(self) -> tuple[Topic, Message]:
        """What to publish to try it again.

        Raises:
            Permanent: the letter does not hold the whole original, or its topic is not one of ours.
        """
        if not self.complete or self.value is None or self.key is None:
            raise Permanent(
                f"dead letter {self.id} cannot be replayed: it does not hold a whole message ({self.size} bytes came)"
            )
        try:
            topic = Topic(self.topic)
        except ValueError as error:
            raise Permanent(f"dead letter {self.id} cannot be replayed: {self.topic!r} is not a topic") from error
        return topic, Message(key=self.key, value=self.value, headers=tuple(self.headers))


def wrap(delivery: Delivery, reason: str, *, at: datetime) -> Message:
    """The message to publish to the dead letters."""
    value, key = delivery.value or b"", delivery.key or b""
    carried = [(_ORIGINAL + name, content) for name, content in delivery.headers]
    cut_value, cut_key = len(value) > MAX_VALUE, len(key) > _MAX_KEY
    cut_headers = sum(len(name) + len(content) for name, content in carried) > _MAX_HEADERS
    facts = {
        "reason": reason[:_MAX_REASON],
        "topic": delivery.topic,
        "partition": str(delivery.partition),
        "offset": str(delivery.offset),
        "at": at.isoformat(),
        "size": str(len(value)),
        "sha256": hashlib.sha256(value).hexdigest(),
        "complete": "no" if cut_value or cut_key or cut_headers else "yes",
        "null": ",".join(name for name, part in (("key", delivery.key), ("value", delivery.value)) if part is None),
    }
    headers = [(_FACT + name, text.encode()) for name, text in facts.items()]
    return Message(
        key=key[:_MAX_KEY],
        value=value[:KEPT_OF_LONGER] if cut_value else value,
        headers=(*headers, *(() if cut_headers else carried)),
    )


def unwrap(delivery: Delivery) -> DeadLetter:
    """The letter in a message of the dead letters' topic; one that is not ours is shown as what it is."""
    facts = _facts(delivery.headers)
    nulls = facts.get("null", "").split(",")
    value = delivery.value or b""
    return DeadLetter(
        id=f"{delivery.partition}-{delivery.offset}",
        reason=facts.get("reason", "(this message is not a dead letter of Roost)"),
        topic=facts.get("topic", ""),
        partition=_number(facts, "partition", -1),
        offset=_number(facts, "offset", -1),
        at=facts.get("at", ""),
        size=_number(facts, "size", len(value)),
        sha256=facts.get("sha256", hashlib.sha256(value).hexdigest()),
        complete=facts.get("complete") == "yes",
        key=None if "key" in nulls else delivery.key,
        value=None if "value" in nulls else value,
        headers=tuple(
            (name.removeprefix(_ORIGINAL), content) for name, content in delivery.headers if name.startswith(_ORIGINAL)
        ),
    )


def _facts(headers: Headers) -> dict[str, str]:
    return {
        name.removeprefix(_FACT): content.decode(errors="replace")
        for name, content in headers
        if name.startswith(_FACT)
    }


def _number(facts: Mapping[str, str], name: str, otherwise: int) -> int:
    text = facts.get(name, "")
    return int(text) if text.isdecimal() else otherwise
