"""What is done with goes, in time: rows of the ledger that no event can ask for again, and staged artifacts.

Rollouts, their history and the versions under `models/` stay.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import groupby, islice
from typing import Final

from deployer.rollout.parts import Parts
from roost.contracts.events import Topic
from roost.contracts.ids import InvalidId, staging_prefix
from roost.contracts.manifest import MANIFEST_NAME
from roost.ports.event_bus import TOPICS
from roost.ports.ledger import RolloutQuery, Settled
from roost.ports.object_store import StoredObject
from roost.telemetry import metrics

log = logging.getLogger(__name__)

_EVERY: Final = 3600.0
_ROWS: Final = 1000
_ARTIFACTS: Final = 20
_CONSUMED: Final = frozenset({Topic.CUSTOMERS, Topic.MODELS_READY, Topic.DEPLOY_COMMANDS})
#: A broker takes events away by the segment, and fills one for up to a week (``segment.ms``) before its age counts.
_SEGMENT: Final = timedelta(days=7)
#: As long as a topic holds an event, a consumer that lost its place may bring it again, and it must be known.
_COMES_AGAIN: Final = (
    timedelta(days=1)
    + _SEGMENT
    + timedelta(milliseconds=max(spec.retention_ms for spec in TOPICS if spec.name in _CONSUMED))
)
#: ``staging/<customer>/<model>/<run>``
_PREFIX_PARTS: Final = 4


class Retention:
    """Removes a little at a time. One of them is enough; two do no harm."""

    def __init__(self, parts: Parts, keep: timedelta) -> None:
        """`keep` is how long what is done with stays. Of the inbox and the commands it is at least a topic's own."""
        self._parts = parts
        self._keep = keep
        self._ages: Mapping[Settled, timedelta] = {
            Settled.INBOX: max(keep, _COMES_AGAIN),
            Settled.OUTBOX: keep,
            Settled.COMMANDS: max(keep, _COMES_AGAIN),
        }
        self._look: Iterator[tuple[StoredObject, ...]] | None = None
        self._due = float("-inf")

    def step(self) -> float:
        """Remove a batch. Returns seconds until the next: 0 while there may be more.

        Raises `DatabaseUnavailable`, `StorageUnavailable`: then it begins again.
        """
        now = self._parts.clock.monotonic()
        if self._look is None:
            if now < self._due:
                return self._due - now
            self._look = self._staged()
        full = [self._prune(what) == _ROWS for what in Settled]
        if self._sweep() or any(full):
            return 0.0
        self._look, self._due = None, now + _EVERY
        return _EVERY

    def _prune(self, what: Settled) -> int:
        before = self._parts.clock.now() - self._ages[what]
        count = self._parts.ledger.prune(what, before=before, limit=_ROWS)
        metrics.REMOVED.labels(what).inc(count)
        return count

    def _sweep(self) -> bool:
        """Look at some staged artifacts. Returns whether there are more."""
        try:
            looked = list(islice(self._look or (), _ARTIFACTS))
            for objects in looked:
                self._remove_if_done_with(objects)
        except Exception:
            # A listing that broke off cannot be gone on with.
            self._look = None
            raise
        return len(looked) == _ARTIFACTS

    def _staged(self) -> Iterator[tuple[StoredObject, ...]]:
        for _, objects in groupby(self._parts.store.list("staging/"), key=_prefix):
            yield tuple(objects)

    def _remove_if_done_with(self, objects: tuple[StoredObject, ...]) -> None:
        now = self._parts.clock.now()
        before, newest = now - self._keep, max(stored.created_at for stored in objects)
        parts = objects[0].name.split("/")
        if len(parts) <= _PREFIX_PARTS or newest >= before:
            return
        _, customer, model, run_id, *_ = parts
        try:
            prefix = staging_prefix(customer, model, run_id)
        except InvalidId:
            # Nobody of ours put it there.
            return
        rows = self._parts.ledger.rollouts(RolloutQuery(customer=customer, model=model, run_id=run_id, limit=1000))
        whole = any(_is_manifest(stored) for stored in objects)
        # Its event may still lie in the topic: consumers were away, or it became a dead letter, to be replayed.
        if whole and not rows and newest >= now - max(self._keep, _COMES_AGAIN):
            return
        if any(not row.terminal or row.entered_at >= before for row in rows):
            return
        # The manifest first: without one an artifact does not exist, so no half of one is left to be found.
        for stored in sorted(objects, key=lambda stored: not _is_manifest(stored)):
            self._parts.store.delete(stored.name, if_generation=stored.generation)
        metrics.REMOVED.labels("staging").inc()
        log.info("removed %s", prefix, extra={"action": "removed", "customer": customer, "model": model})


def _prefix(stored: StoredObject) -> list[str]:
    return stored.name.split("/")[:_PREFIX_PARTS]


def _is_manifest(stored: StoredObject) -> bool:
    return stored.name.endswith(f"/{MANIFEST_NAME}")
