"""Takes what was asked, and puts it into the object store in its own time.

    offer, offer_copy ──▶ bounded queue ──▶ thin, read, redact, bound ──▶ buffer ──▶ one object a served name and flush

The two offers are called while somebody waits for an answer: they draw lots and put, and drop where the queue is full.
"""

from __future__ import annotations

import queue
import threading
from typing import Final

from roost.contracts.ids import served_name
from roost.ports.serving import Tensors
from roost.telemetry import metrics
from serving.node.app.catalogue import ServedVersion, Wanted
from serving.node.taps.copies import Copy
from serving.node.taps.gathering import Gatherer, Item, Offer, TapParts

#: Requests that wait to be looked at.
_QUEUED: Final = 64
#: A copy above it is dropped before it is looked at. The policy's own bound holds for what is left after redaction.
_LARGEST_COPY: Final = 1024 * 1024
_PRUNE_SECONDS: Final = 24 * 3600.0
#: The first look at what is too old, once the node has better things behind it.
_FIRST_PRUNE_SECONDS: Final = 600.0


class Recorder:
    """`Tap` of the node's page, and of the gateway's copies. `offer…` are for any thread."""

    def __init__(self, parts: TapParts, *, flush_seconds: float) -> None:
        """Write what was gathered every `flush_seconds`."""
        self._parts = parts
        self._flush_seconds = flush_seconds
        self._queue: queue.Queue[Item | None] = queue.Queue(_QUEUED)
        self._gatherer = Gatherer(parts)
        self._thread: threading.Thread | None = None
        self._ending = False
        now = parts.clock.monotonic()
        self._flush_at, self._prune_at = now + flush_seconds, now + _FIRST_PRUNE_SECONDS

    def offer(self, wanted: Wanted, served: ServedVersion, inputs: Tensors) -> None:
        """Record it, perhaps."""
        rate = self._parts.book.rules(wanted.customer).taps.rate
        if rate > 0 and self._parts.chance() < rate:
            self._put(Offer(name=served_name(wanted.customer, wanted.model), served=served, inputs=inputs))

    def offer_copy(self, copy: Copy) -> None:
        """Record it, perhaps."""
        if len(copy.body) > _LARGEST_COPY:
            metrics.TAP_REQUESTS.labels(result="unfit").inc()
            return
        self._put(copy)

    def start(self) -> None:
        """Begin to record, in a thread of its own that never keeps the process from ending."""
        self._thread = threading.Thread(target=self._run, name="taps", daemon=True)
        self._thread.start()

    def stop(self, *, seconds: float = 5) -> None:
        """Write what is there, as far as that time lets it."""
        self._ending = True
        if self._thread is not None:
            try:
                self._queue.put(None, timeout=seconds)
            except queue.Full:
                return
            self._thread.join(seconds)

    def step(self) -> None:
        """Take one item, or wait for one until the next flush; then do what is due."""
        now = self._parts.clock.monotonic()
        try:
            item = self._queue.get(timeout=max(0.0, min(self._flush_at, self._prune_at) - now))
        except queue.Empty:
            item = None
        if item is not None:
            self._gatherer.take(item)
        now = self._parts.clock.monotonic()
        if now >= self._flush_at or self._ending:
            self._flush_at = now + self._flush_seconds
            self._gatherer.flush()
        if now >= self._prune_at and not self._ending:
            self._prune_at = now + _PRUNE_SECONDS
            self._gatherer.prune()

    def _run(self) -> None:
        while not (self._ending and self._queue.empty()):
            self.step()

    def _put(self, item: Item) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            metrics.TAP_REQUESTS.labels(result="full").inc()
