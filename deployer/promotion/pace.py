"""How soon a pool's next step is due."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a step says to its loop: 0 goes on at once; else wait so many seconds, or until woken; None: until woken."""

    wait_seconds: float | None


AT_ONCE = Pace(wait_seconds=0.0)
UNTIL_WOKEN = Pace(wait_seconds=None)
