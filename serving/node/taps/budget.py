"""How much is recorded of one served name: so many requests an hour, spread over it."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

#: An hour has so many parts; each adds its share, and nothing is lost that an earlier one left.
_PARTS: Final = 12


class HourlyBudget:
    """Counts by served name. For one thread."""

    def __init__(self) -> None:
        self._hour: tuple[int, int] = (0, 0)
        self._taken: dict[str, int] = {}

    def take(self, name: str, per_hour: int, now: datetime) -> bool:
        """Whether one more request of `name` may be kept; counts it if so."""
        hour = (now.toordinal(), now.hour)
        if hour != self._hour:
            self._hour, self._taken = hour, {}
        part = now.minute * _PARTS // 60 + 1
        taken = self._taken.get(name, 0)
        if taken >= math.ceil(per_hour * part / _PARTS):
            return False
        self._taken[name] = taken + 1
        return True
