"""One rollout's way, from its event to the last node's first right answer, in pieces. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: The pieces in order; together they are the whole.
STEPS: Final = ("consume", "copy", "vet", "gate", "canary", "load", "flip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Instants in seconds since 1970, of one machine's one clock; the rest in seconds."""

    #: When the producer began to publish the event.
    published: float
    #: When the rollout entered each phase, as its history has it.
    received: float
    stored: float
    vetted: float
    canary: float
    promoting: float
    live: float
    #: When the desired state with the moved label was written.
    flip_written: float
    #: Node to its first right answer, as seen from outside.
    answered: Mapping[str, float]
    #: Work that no deployer is spared: copying; the canary's download, load and first prediction; the checks' own run;
    #: the slowest node's download, load and first prediction.
    copying: float
    canary_load: float
    checking: float
    node_load: float
    #: First to last node, as the nodes recorded it.
    skew: float

    @property
    def total(self) -> float:
        """Event to the last node's first right answer."""
        return max(self.answered.values()) - self.published

    @property
    def steps(self) -> dict[str, float]:
        """Seconds of each of `STEPS`; they add up to `total`."""
        return {
            "consume": self.received - self.published,
            "copy": self.stored - self.received,
            "vet": self.vetted - self.stored,
            "gate": self.canary - self.vetted,
            "canary": self.promoting - self.canary,
            "load": self.flip_written - self.promoting,
            "flip": max(self.answered.values()) - self.flip_written,
        }

    @property
    def prove(self) -> float:
        """From the last node's first right answer to LIVE in the ledger; below zero where the ledger was first."""
        return self.live - max(self.answered.values())

    @property
    def work(self) -> float:
        """What no deployer is spared."""
        return self.copying + self.canary_load + self.checking + self.node_load

    @property
    def own(self) -> float:
        """Roost's own share."""
        return self.total - self.work

    @property
    def own_by_step(self) -> dict[str, float]:
        """The own share by step."""
        spared = {
            "copy": self.copying,
            "canary": self.canary_load + self.checking,
            "load": self.node_load,
        }
        return {step: seconds - spared.get(step, 0.0) for step, seconds in self.steps.items()}

    @property
    def observed_skew(self) -> float:
        """First to last node as seen from outside."""
        return max(self.answered.values()) - min(self.answered.values())
