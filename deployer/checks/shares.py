"""How large a share may be, from how often it was seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

#: Halvings of the unit interval: finer than any bound that is compared.
_STEPS: Final = 40


def bounds(seen: int, of: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The one-sided lower and upper bound of a share of which `seen` of `of` were found, each at `confidence`.

    Exact binomial (Clopper and Pearson, 1934): 0 of 300 is below 1.0 %, 0 of 1,000 below 0.30 %. Of nothing, anything.
    """
    if not of:
        return 0.0, 1.0
    risk = 1 - confidence
    upper = 1.0 if seen == of else _least(lambda share: _at_most(seen, of, share) <= risk)
    lower = 0.0 if seen == 0 else _least(lambda share: 1 - _at_most(seen - 1, of, share) > risk)
    return lower, upper


def _least(holds: Callable[[float], bool]) -> float:
    """The least share in (0, 1) from which on a condition holds."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _at_most(seen: int, of: int, share: float) -> float:
    """Probability of at most `seen` among `of`, each with probability `share`, which is neither 0 nor 1."""
    log_share, log_rest, total = math.log(share), math.log1p(-share), math.lgamma(of + 1)
    return math.fsum(
        math.exp(
            total - math.lgamma(found + 1) - math.lgamma(of - found + 1) + found * log_share + (of - found) * log_rest
        )
        for found in range(seen + 1)
    )
