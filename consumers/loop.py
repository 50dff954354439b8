"""The one loop of every consumer: poll, decode, validate, hand over, commit."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumers import dead_letters
from consumers.breaker import Breaker
from roost.contracts.cloudevents import Event, decode
from roost.contracts.errors import InvalidEvent, Permanent, Retryable, SettingsInvalid
from roost.contracts.events import Topic
from roost.ports.clock import Clock
from roost.ports.event_bus import Delivery, EventPublisher, EventSource
from roost.telemetry import metrics, tracing

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
_LAG_EVERY: Final = 10.0
_LONGEST_BACK_OFF: Final = 5.0
#: Longer ones are nobody's id, and no index would hold them.
_MAX_ATTRIBUTE: Final = 255

#: Takes one event into the ledger and returns whether it was new. Raises `Permanent` for what can never be handled,
#: `Retryable` for what cannot be handled now.
Handler = Callable[[Event], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a loop works with. The source reads `topic` only."""

    topic: Topic
    source: EventSource
    publisher: EventPublisher
    handler: Handler
    clock: Clock


class Loop:
    """One topic's consumer. `trouble` is None where all is well, else one sentence for readiness."""

    def __init__(self, parts: Parts) -> None:
        """Nothing is polled yet."""
        self._parts = parts
        # A counter that begins at its first event never increases by it, and an alert would miss that one.
        for result in ("new", "duplicate", "dead_letter"):
            metrics.CONSUMED.labels(parts.topic, result)
        self._breaker = Breaker(parts.clock)
        self._failures = 0
        self._lag_at = float("-inf")
        self.trouble: str | None = "has not polled yet"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then what was handled is committed and the group is left."""
        try:
            while not stop.is_set():
                self.step(stop)
        finally:
            self._parts.source.close()

    def step(self, stop: threading.Event) -> None:
        """Poll once and deal with what came. Waits, interruptibly, where something is away or the breaker is open."""
        pause = self._breaker.seconds_to_wait()
        if pause > 0:
            self._parts.clock.wait(pause, stop)
            return
        try:
            self._work(self._parts.source.poll(POLL_SECONDS), stop)
            self._measure()
        except Retryable as error:
            self._back_off(error, stop)

    def _work(self, deliveries: Sequence[Delivery], stop: threading.Event) -> None:
        done = 0
        try:
            for delivery in deliveries:
                if stop.is_set() or self._breaker.seconds_to_wait() > 0:
                    break
                self._deal(delivery)
                done += 1
        finally:
            # Also where one could not be handled now: those before it are done, it and the rest come again.
            self._commit(deliveries[:done])
            if done < len(deliveries):
                self._parts.source.give_back(deliveries[done:])

    def _deal(self, delivery: Delivery) -> None:
        try:
            result = "new" if self._take_in(opened(delivery)) else "duplicate"
            self._breaker.good()
        except SettingsInvalid:
            raise
        except Permanent as error:
            self._bury(delivery, str(error))
            result = "dead_letter"
        metrics.CONSUMED.labels(delivery.topic, result).inc()
        metrics.BREAKER_OPEN.labels(self._parts.topic).set(self._breaker.is_open)

    def _take_in(self, event: Event) -> bool:
        """Hand over the event, at the place of its own receipt: what follows from it goes on from there."""
        facts: dict[str, tracing.Attribute] = {"roost.event_id": event.id, "roost.customer": event.subject}
        name = f"{self._parts.topic} receive"
        with tracing.span(name, event.traceparent, facts, kind="consumer") as received:
            new = self._parts.handler(replace(event, traceparent=received.traceparent))
            if not new:
                received.drop()
        return new

    def _bury(self, delivery: Delivery, reason: str) -> None:
        letter = dead_letters.wrap(delivery, reason, at=self._parts.clock.now())
        self._parts.publisher.send(Topic.DEAD_LETTERS, letter)
        log.warning(
            "dead letter: %s",
            reason,
            extra={
                "action": "dead_letter",
                "topic": delivery.topic,
                "partition": delivery.partition,
                "offset": delivery.offset,
            },
        )
        self._breaker.poison()
        if self._breaker.is_open:
            self.trouble = (
                f"nearly everything on {delivery.topic} is poison, last: {reason}; consuming stops for "
                f"{self._breaker.seconds_to_wait():.0f} s at a time. See `roost dead-letters list`"
            )
            log.error("breaker open: %s", self.trouble, extra={"action": "breaker", "topic": delivery.topic})

    def _commit(self, deliveries: Sequence[Delivery]) -> None:
        try:
            self._parts.source.commit(deliveries)
        except Retryable as error:
            # The next commit covers these; if none comes, they come again and change nothing.
            log.warning("offsets not committed: %s", error, extra={"action": "commit", "topic": self._parts.topic})
        now = self._parts.clock.now().timestamp()
        for one in deliveries:
            metrics.CONSUMER_AGE.labels(one.topic).observe(max(0.0, now - one.timestamp_ms / 1000))

    def _measure(self) -> None:
        """Measure the lag now and then, and at each step while something is wrong.

        A poll that brings nothing does not tell a quiet topic from a broker that is away; the lag does.
        """
        if self.trouble is None and self._parts.clock.monotonic() - self._lag_at < _LAG_EVERY:
            return
        for (topic, partition), behind in self._parts.source.lag().items():
            metrics.CONSUMER_LAG.labels(topic, partition).set(behind)
        self._lag_at = self._parts.clock.monotonic()
        self._failures = 0
        if not self._breaker.is_open:
            self.trouble = None

    def _back_off(self, error: Retryable, stop: threading.Event) -> None:
        seconds = min(_LONGEST_BACK_OFF, 0.5 * 2**self._failures) * random.uniform(0.5, 1)  # noqa: S311  # jitter
        self._failures = min(self._failures + 1, 10)
        if self.trouble != str(error):
            log.warning("waiting: %s", error, extra={"action": "back_off", "topic": self._parts.topic})
        self.trouble = str(error)
        self._parts.clock.wait(seconds, stop)


def opened(delivery: Delivery) -> Event:
    """The event in a delivery, with what the envelope must say of it.

    Raises:
        InvalidEvent: undecodable, on the wrong topic, or of another customer than its key and subject say.
    """
    event = decode(delivery.value, delivery.headers)
    if event.topic != delivery.topic:
        raise InvalidEvent(f"{event.type} belongs on topic {event.topic}, and came on {delivery.topic}")
    for name in ("id", "source", "subject", "traceparent"):
        _check_attribute(name, getattr(event, name) or "")
    if delivery.key is None or delivery.key != event.subject.encode():
        raise InvalidEvent(
            f"the message's key {(delivery.key or b'')[:80]!r} is not the event's subject {event.subject[:80]!r}"
        )
    customer = getattr(event.data, "customer", None)
    if customer is not None and customer != event.subject:
        raise InvalidEvent(f"the event's subject {event.subject[:80]!r} is not its customer {customer!r}")
    return event


def _check_attribute(name: str, text: str) -> None:
    if len(text) > _MAX_ATTRIBUTE:
        raise InvalidEvent(f"the event's {name} has {len(text)} characters; at most {_MAX_ATTRIBUTE} are allowed")
    if not text.isascii() or not text.isprintable():
        # CloudEvents allows more; lone surrogates and NUL, which no database takes, are in what it does.
        raise InvalidEvent(f"the event's {name} {text[:80]!r} has characters outside printable ASCII")


def identity(event: Event) -> str:
    """What makes an event the same event: CloudEvents promises that source and id together are unique."""
    return f"{event.source} {event.id}"
