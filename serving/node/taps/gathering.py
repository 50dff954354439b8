"""Recorded requests on their way to the object store: read, redacted, bounded, and kept in memory until they go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from roost.contracts.errors import RoostError, StorageUnavailable
from roost.contracts.ids import InvalidId, split_served_name
from roost.ports.clock import Clock
from roost.ports.recordings import RecordedRequest, Recordings
from roost.ports.serving import Tensors
from roost.telemetry import metrics
from serving.node.app.catalogue import Catalogue, ServedVersion, Wanted
from serving.node.app.refusing import Refused
from serving.node.app.rules import RuleBook
from serving.node.taps.budget import HourlyBudget
from serving.node.taps.copies import Copy, Opened, Unreadable, opened, tensors
from serving.node.taps.redaction import Redactor

log = logging.getLogger(__name__)

#: Bytes that wait in memory for the store at most; beyond it nothing new is taken.
_BUFFERED_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A request that the node's own page has answered, and drawn."""

    name: str
    served: ServedVersion
    inputs: Tensors


#: What comes out of the queue.
Item: TypeAlias = Offer | Copy


@dataclass(frozen=True, slots=True, kw_only=True)
class TapParts:
    """What recording works with."""

    book: RuleBook
    catalogue: Catalogue
    redactor: Redactor
    #: Opens the store, again until that succeeds.
    recordings: Callable[[], Recordings]
    clock: Clock
    #: The node's name, which stands in the objects' names.
    node: str
    #: A number from 0 up to 1, a different one each time.
    chance: Callable[[], float]


@dataclass(slots=True)
class _Buffer:
    requests: dict[str, list[RecordedRequest]] = field(default_factory=dict)
    size: int = 0


class Gatherer:
    """For one thread."""

    def __init__(self, parts: TapParts) -> None:
        self._parts = parts
        self._budget = HourlyBudget()
        self._buffer = _Buffer()

    @property
    def waiting(self) -> bool:
        """Whether anything waits for the store."""
        return bool(self._buffer.requests)

    def take(self, item: Item) -> None:
        """Keep it, as far as the policy lets it be kept."""
        result = self._result(item)
        if result is not None:
            metrics.TAP_REQUESTS.labels(result=result).inc()

    def flush(self) -> None:
        """Write what waits, one object a served name. What an outage leaves is tried again with the next flush."""
        for name, requests in list(self._buffer.requests.items()):
            try:
                self._parts.recordings().keep(name, requests, node=self._parts.node)
            except StorageUnavailable as error:
                log.warning("recorded requests wait: %s", error, extra={"action": "tap_waits"})
                return
            except RoostError as error:
                metrics.TAP_REQUESTS.labels(result="lost").inc(len(requests))
                log.warning("%s: recorded requests are lost: %s", name, error, extra={"action": "tap_lost"})
            del self._buffer.requests[name]
            self._buffer.size -= sum(_size(request.inputs) for request in requests)

    def prune(self) -> None:
        """Delete what is older than its customer's retention, whoever recorded it."""

        def keep(customer: str) -> timedelta:
            return timedelta(hours=self._parts.book.rules(customer).taps.retention_hours)

        try:
            pruned = self._parts.recordings().prune(now=self._parts.clock.now(), keep=keep)
        except RoostError as error:
            log.warning("recorded requests are not pruned: %s", error, extra={"action": "tap_prune_failed"})
            return
        if pruned:
            log.info("%d objects of recorded requests were too old", pruned, extra={"action": "tap_pruned"})

    def _result(self, item: Item) -> str | None:
        """What became of it; None where the lots decided against it."""
        if isinstance(item, Offer):
            return self._keep(item.name, item.served, item.inputs)
        try:
            found = opened(item)
            customer, model = split_served_name(found.name)
            if not self._drawn(customer):
                return None
            return self._keep_copy(found, Wanted(customer=customer, model=model))
        except (Unreadable, InvalidId, Refused):
            return "unfit"

    def _drawn(self, customer: str) -> bool:
        """The gateway copies at the highest rate of anybody: this makes it the customer's own."""
        book = self._parts.book
        rate = book.rules(customer).taps.rate
        return rate > 0 and self._parts.chance() * book.highest_rate < rate

    def _keep_copy(self, found: Opened, wanted: Wanted) -> str:
        target = self._parts.catalogue.find(wanted, self._parts.book.rules(wanted.customer).predictions)
        if target.cohort is not None:
            return "unfit"
        return self._keep(found.name, target.served, tensors(found, target.served.checker))

    def _keep(self, name: str, served: ServedVersion, inputs: Tensors) -> str:
        policy = self._parts.book.rules(split_served_name(name)[0]).taps
        kept = self._parts.redactor.redacted(served.checker.specs, inputs, policy)
        size = _size(kept)
        if not kept or size > policy.max_kb * 1024:
            return "unfit"
        if self._buffer.size + size > _BUFFERED_BYTES:
            return "full"
        now: datetime = self._parts.clock.now()
        if not self._budget.take(name, policy.per_hour, now):
            return "over"
        request = RecordedRequest(at=now, version=served.version, inputs=kept)
        self._buffer.requests.setdefault(name, []).append(request)
        self._buffer.size += size
        return "recorded"


def _size(inputs: Tensors) -> int:
    """Bytes, nearly: a text costs its own and some for its place."""
    return sum(
        sum(len(text) + 8 for text in values.ravel().tolist()) if values.dtype.kind == "O" else int(values.nbytes)
        for values in inputs.values()
    )
