"""What a promotion took, step by step: kept while it runs, written into its transition. A restart loses it, no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployer.domain.planner import Change, Flip, Load, RollBack, Swap
from roost.contracts.rollout import Rollout
from roost.ports.clock import Clock


@dataclass(slots=True, kw_only=True)
class Trace:
    """Generations and instants of one rollout's way through its pool."""

    load_generation: int | None = None
    flip_generation: int | None = None
    marks: dict[str, float] = field(default_factory=dict)


class Traces:
    """Traces of the rollouts of one pool. One thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._traces: dict[str, Trace] = {}
        self._started = clock.monotonic()

    def begin(self) -> None:
        """Waits begin now: what happened to these rollouts before was another process's to see."""
        self._started = self._clock.monotonic()
        for trace in self._traces.values():
            trace.marks.pop("written", None)

    def of(self, rollout: Rollout) -> Trace:
        """The rollout's trace, begun now where there is none."""
        return self._traces.setdefault(rollout.id, Trace())

    def note(self, rollout: Rollout, change: Change, generation: int) -> None:
        """A change of that rollout is in that generation."""
        trace, now = self.of(rollout), self._clock.monotonic()
        trace.marks["written"] = now
        if isinstance(change, Load):
            trace.load_generation = generation
            trace.marks["load"] = now
        elif isinstance(change, Flip | Swap | RollBack):
            trace.flip_generation = generation
            trace.marks["flip"] = now

    def waited(self, rollout: Rollout) -> float:
        """Seconds since this process last wrote for it; if not, since it entered the phase, or this process the pool.

        An outage of the store is thereby no wait for nodes.
        """
        now = self._clock.monotonic()
        in_phase = (self._clock.now() - rollout.entered_at).total_seconds()
        written = self.of(rollout).marks.get("written", self._started)
        return min(in_phase, now - written)

    def without_nodes(self, rollout: Rollout) -> None:
        """No node of its pool counts at this moment."""
        self.of(rollout).marks["without_nodes"] = self._clock.monotonic()

    def waited_for_nodes(self, rollout: Rollout) -> float:
        """`waited`, in seconds, but no longer than since a pool without nodes had one again."""
        without = self.of(rollout).marks.get("without_nodes", self._started)
        return min(self.waited(rollout), self._clock.monotonic() - without)

    def facts(self, rollout: Rollout) -> Mapping[str, object]:
        """Seconds per step and generations, as far as they are known; forgets the trace."""
        trace = self._traces.pop(rollout.id, Trace())
        now = self._clock.monotonic()
        facts: dict[str, object] = {}
        if trace.load_generation is not None:
            facts["load_generation"] = trace.load_generation
            facts["load_seconds"] = round(trace.marks.get("flip", now) - trace.marks["load"], 4)
        if trace.flip_generation is not None:
            facts["flip_generation"] = trace.flip_generation
            facts["flip_seconds"] = round(now - trace.marks["flip"], 4)
        facts["seconds"] = round((self._clock.now() - rollout.entered_at).total_seconds(), 4)
        return facts

    def keep_only(self, rollout_ids: set[str]) -> None:
        """Forget traces of rollouts that left the pool's hands."""
        for known in self._traces.keys() - rollout_ids:
            del self._traces[known]
