"""Follows customers from their event to the first answer of every replica, live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deployer.console.views import RolloutDetail
from roost.contracts.errors import NotFound, Retryable, RoostError
from roost.contracts.rollout import TERMINAL, Phase
from roost.embedded.demo.api import Api, entered
from roost.ports.clock import Clock

#: What the table shows, in order.
STEPS: Final = (
    "event taken",
    "trained, staged",
    "copied",
    "vetted",
    "canary passed",
    "on every replica",
    "answers everywhere",
)
_PHASES: Final = {
    "trained, staged": Phase.RECEIVED,
    "copied": Phase.STORED,
    "vetted": Phase.VETTED,
    "canary passed": Phase.PROMOTING,
    "on every replica": Phase.LIVE,
}
#: Ends from which no answer will come.
_DEAD_ENDS: Final = TERMINAL - {Phase.SETTLED} | {Phase.HALTED}


@dataclass(slots=True, kw_only=True)
class Way:
    """One customer's way. Seconds are counted from `begun`."""

    customer: str
    begun: datetime
    seconds: dict[str, float] = field(default_factory=dict)
    rollout: RolloutDetail | None = None
    note: str = ""

    @property
    def done(self) -> bool:
        """Whether every replica has answered."""
        return STEPS[-1] in self.seconds

    @property
    def failed(self) -> bool:
        """Whether it came to an end without an answer."""
        return self.rollout is not None and self.rollout.rollout.phase in _DEAD_ENDS


class Follower:
    """Looks at the API a few times a second until all ways are done, one has failed, or the time is over."""

    def __init__(self, api: Api, clock: Clock, answers: Callable[[str, int], bool], console: Console) -> None:
        self._api, self._clock, self._answers, self._console = api, clock, answers, console

    def follow(self, customers: Sequence[str], begun: datetime, *, deadline: float, known: frozenset[str]) -> list[Way]:
        """Follow each customer's first rollout that is not among the `known` ids. `deadline` in seconds.

        Raises:
            RoostError: naming who did not get there, and why.
        """
        ways = [Way(customer=customer, begun=begun) for customer in customers]
        end = self._clock.monotonic() + deadline
        with Live(console=self._console, refresh_per_second=4, transient=self._console.is_terminal) as live:
            while not all(way.done for way in ways):
                for way in ways:
                    if not way.done:
                        self._look(way, known)
                if self._console.is_terminal:
                    live.update(table(ways))
                self._give_up_if_needed(ways, end)
                self._clock.wait(0.2)
        return ways

    def _give_up_if_needed(self, ways: Sequence[Way], end: float) -> None:
        late = self._clock.monotonic() > end
        for way in ways:
            if way.failed or (late and not way.done):
                reason = way.rollout.rollout.reason if way.rollout else "no rollout has come"
                raise RoostError(
                    f"{way.customer} has no answer from every replica: {reason}. See `roost why {way.customer}`."
                )

    def _look(self, way: Way, known: frozenset[str]) -> None:
        try:
            if "event taken" not in way.seconds and self._api.customer(way.customer).onboarding:
                way.seconds["event taken"] = self._since(way)
            new = [item for item in self._api.rollouts(way.customer).items if item.id not in known]
            if not new:
                return
            way.rollout = self._api.rollout(new[0].id)
        except (NotFound, Retryable):
            return
        for step, phase in _PHASES.items():
            at = entered(way.rollout, phase)
            if at is not None:
                way.seconds[step] = (at - way.begun).total_seconds()
        if "on every replica" in way.seconds and self._answers(way.customer, way.rollout.rollout.version):
            way.seconds[STEPS[-1]] = self._since(way)

    def _since(self, way: Way) -> float:
        return (self._clock.now() - way.begun).total_seconds()


def table(ways: Sequence[Way]) -> Table:
    """Seconds since the event, by step and customer."""
    found = Table("seconds after the event", *(way.customer for way in ways), title="From event to answer")
    for step in STEPS:
        found.add_row(step, *(f"{way.seconds[step]:.1f}" if step in way.seconds else "…" for way in ways))
    return found
