"""What this node does for a rollout, told in the rollout's trace. The desired object's metadata says which that is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from roost.contracts.acks import NodeChange, NodeState
from roost.contracts.trace_context import GENERATION_KEY, PLACES_KEY, unpacked, within
from roost.ports.clock import Clock
from roost.telemetry import tracing

#: Rollouts whose places are remembered: those of the newest generations.
_KEPT: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _TakenUp:
    generation: int
    at: datetime
    #: The span that wrote it; None where it is of no trace.
    place: str | None


class NodeTraces:
    """Spans of one node. Safe for threads: generations are taken up on one, followed on another."""

    def __init__(self, node: str, pool: str, clock: Clock) -> None:
        """Nothing is known of any trace."""
        self._who: dict[str, tracing.Attribute] = {"roost.node": node, "roost.pool": pool}
        self._clock = clock
        self._lock = threading.Lock()
        self._places: OrderedDict[str, str] = OrderedDict()
        self._taken_up: _TakenUp | None = None
        self._settling: _TakenUp | None = None

    def take_up(self, generation: int, metadata: Mapping[str, str]) -> None:
        """That generation is followed from now on; its object carried these facts."""
        taken = _TakenUp(generation=generation, at=self._clock.now(), place=metadata.get(GENERATION_KEY))
        with self._lock:
            for rollout_id, place in unpacked(metadata.get(PLACES_KEY, "")).items():
                self._places[rollout_id] = place
                self._places.move_to_end(rollout_id)
            while len(self._places) > _KEPT:
                self._places.popitem(last=False)
            self._taken_up = self._settling = taken

    def place(self, rollout_id: str | None) -> str | None:
        """Where what is done for that rollout belongs; None where it has no trace."""
        with self._lock:
            return self._places.get(rollout_id) if rollout_id else None

    def tell(self, change: NodeChange) -> None:
        """A change of a version: its load, with how long it took, or the flip to it, since its generation came."""
        place, taken = self.place(change.rollout_id), self._taken_up
        if place is None or taken is None:
            return
        if change.what == "stable moved":
            self._write("node flip", place, change, began=min(taken.at, change.at))
        elif change.what == "proven":
            self._write("node load", place, change, began=change.at - timedelta(seconds=change.seconds or 0.0))
        elif change.what == "failed":
            self._write("node load", place, change, began=min(taken.at, change.at))

    def settled(self, state: NodeState) -> None:
        """The node has done all it can for its generation, which is what the deployer waits for: its ack."""
        with self._lock:
            taken = self._settling
            if taken is None or not state.settled or state.generation < taken.generation:
                return
            self._settling = None
        own = within(taken.place, f"{self._who['roost.node']}/{taken.generation}")
        if taken.place is None or own is None:
            return
        tracing.write(
            tracing.Finished(
                name="node generation",
                traceparent=own,
                parent=taken.place,
                began=taken.at,
                ended=self._clock.now(),
                attributes={**self._who, "roost.generation": taken.generation, "roost.converged": state.converged},
            )
        )

    def _write(self, name: str, place: str, change: NodeChange, *, began: datetime) -> None:
        own = within(place, f"{self._who['roost.node']}/{name}/{change.name}/{change.at.isoformat()}")
        if own is None:
            return
        links = [self._taken_up.place] if self._taken_up and self._taken_up.place else []
        said: dict[str, tracing.Attribute] = {
            "roost.rollout_id": change.rollout_id or "",
            "roost.served_name": change.name or "",
            "roost.version": change.version or 0,
            "roost.generation": change.generation,
        }
        failed = (change.detail or change.what) if change.what == "failed" else None
        tracing.write(
            tracing.Finished(
                name=name,
                traceparent=own,
                parent=place,
                began=began,
                ended=change.at,
                links=links,
                attributes=self._who | said,
                error=failed,
            )
        )
