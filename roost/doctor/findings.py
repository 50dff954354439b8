"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from roost.contracts.errors import BrokerRefused, RoostError


class Level(StrEnum):
    """How a finding counts."""

    #: As it should be.
    WELL = "well"
    #: It works, and somebody should look at it.
    DOUBTFUL = "doubtful"
    #: It does not work, or is not safe: the exit code says so.
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence on one thing. What is not well has a remedy."""

    about: str
    level: Level
    said: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One dependency. `remedy` is what to do where it does not answer at all."""

    about: str
    look: Callable[[], Sequence[Finding]]
    remedy: str

    def run(self) -> Sequence[Finding]:
        """What it found. Whatever Roost's own errors say is a finding."""
        try:
            return self.look()
        except BrokerRefused as error:
            return (wrong(self.about, error.said, error.remedy),)
        except RoostError as error:
            return (wrong(self.about, str(error), self.remedy),)


def well(about: str, said: str) -> Finding:
    """As it should be."""
    return Finding(about=about, level=Level.WELL, said=said)


def doubtful(about: str, said: str, remedy: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(about=about, level=Level.DOUBTFUL, said=said, remedy=remedy)


def wrong(about: str, said: str, remedy: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding(about=about, level=Level.WRONG, said=said, remedy=remedy)


def or_well(about: str, said: str, found: Iterator[Finding]) -> Sequence[Finding]:
    """What was found, or that all is well."""
    return tuple(found) or (well(about, said),)
