"""Recorded requests: a sample of what customers really asked, redacted, for the canary to ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from roost.ports.serving import Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request to ``serving_default``, without its answer."""

    #: Instant at which it came, aware, to the second.
    at: datetime
    #: The version that answered, or was to answer, it.
    version: int
    #: Inputs by name, batch first. What the policy drops is not there: a request may lack inputs that the model needs.
    inputs: Tensors


class Recordings(Protocol):
    """Where recorded requests are kept. Every method raises `StorageUnavailable` where the store does not answer."""

    def keep(self, name: str, requests: Sequence[RecordedRequest], *, node: str) -> None:
        """Add requests of a served name, which `node` recorded. All of them, or none.

        Raises:
            InvalidId: `name` is no served name.
        """

    def newest(self, name: str, limit: int) -> Iterator[RecordedRequest]:
        """At most `limit` requests of a served name, newest first. A file that cannot be read is passed over."""

    def prune(self, *, now: datetime, keep: Callable[[str], timedelta]) -> int:
        """Delete what is older than `keep` says for its customer. Returns the number of objects."""
