"""What a handler says of one step."""

from __future__ import annotations

from dataclasses import dataclass

from deployer.domain.transitions import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Transitions to write, all or none."""

    steps: tuple[Step, ...]

    @classmethod
    def one(cls, step: Step) -> Moved:
        """A single transition."""
        return cls(steps=(step,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Nothing can be done now. Look again after so many seconds, or when something wakes the deployer."""

    seconds: float
    reason: str


Outcome = Moved | Later
