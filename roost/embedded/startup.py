"""Starts parts in the order of their dependencies, as many at a time as these allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from roost.contracts.errors import Permanent
from roost.embedded.observation import Observation, PartState
from roost.embedded.part import Part
from roost.embedded.state_dir import StateDir
from roost.ports.clock import Clock

#: Deaths of one part during the start after which the start is given up: more tries would end alike.
_DEATHS: Final = 3
_LAST_LINES: Final = 15


class PartFailed(Permanent):
    """A part does not start. The text names it, quotes the end of its log and gives the remedy."""


class Starter(Protocol):
    """Starts processes; supervisord does."""

    def start_part(self, name: str) -> None:
        """Start one part and return at once."""


class Startup:
    """One start of a stack; call `advance` with each new observation until it says that all is ready."""

    def __init__(self, state: StateDir, parts: Sequence[Part], starter: Starter, clock: Clock) -> None:
        """Nothing is started yet."""
        self._state = state
        self._parts = parts
        self._starter = starter
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._starts: dict[str, set[float]] = {}
        self._log_sizes: dict[str, int] = {}
        #: Seconds from its start to ready, of each part that has come so far.
        self.seconds: dict[str, float] = {}

    def advance(self, observations: Sequence[Observation]) -> bool:
        """Start what may start now; True once every part is ready.

        Raises:
            PartFailed: a part ended, keeps ending, or is not ready within its time.
            SupervisorGone: supervisord was stopped or killed meanwhile.
        """
        seen = {one.name: one for one in observations}
        for part in self._parts:
            one = seen[part.name]
            if one.state.well:
                self.seconds.setdefault(part.name, self._since(part.name))
            elif part.name in self._asked:
                self._judge(part, one)
            elif all(seen[name].state.well for name in (*part.after, *part.behind) if name in seen):
                self._start(part)
        return all(seen[part.name].state.well for part in self._parts)

    def _start(self, part: Part) -> None:
        log = self._state.log(part.name)
        self._log_sizes[part.name] = log.stat().st_size if log.exists() else 0
        self._asked[part.name] = self._clock.monotonic()
        self._starter.start_part(part.name)

    def _since(self, name: str) -> float:
        now = self._clock.monotonic()
        return now - self._asked.get(name, now)

    def _judge(self, part: Part, one: Observation) -> None:
        starts = self._starts.setdefault(part.name, set())
        starts |= {one.started} if one.started else set()
        if one.state is PartState.FAILED:
            raise self._failure(part, one.detail)
        if one.state is PartState.RESTARTING and len(starts) >= _DEATHS:
            raise self._failure(part, f"ended {len(starts)} times")
        # Who was ready once has started; that it may hang for a moment later is not the start's to judge.
        if part.name not in self.seconds and self._since(part.name) > part.ready_seconds:
            raise self._failure(part, f"is not ready after {part.ready_seconds:.0f} s: {one.detail or one.state}")

    def _failure(self, part: Part, reason: str) -> PartFailed:
        log = self._state.log(part.name)
        remedy = part.remedy or "mend what it says, then start it again"
        lines = last_lines(self._state, part.name, _LAST_LINES, skip=self._log_sizes.get(part.name, 0))
        quoted = "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"
        return PartFailed(f"{part.name} {reason}\n{quoted}\n  whole log: {log}\n  remedy: {remedy}")


def last_lines(state: StateDir, part: str, count: int, *, skip: int = 0) -> list[str]:
    """The last lines of a part's log, those before byte `skip` left out; a rotated log counts whole."""
    try:
        with state.log(part).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(skip if skip <= size else 0, size - 256 * 1024))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
