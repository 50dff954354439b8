"""How a request is run, whichever question it asks."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a request is run: the seconds that it may wait, and who is told what it took."""

    #: Seconds in a batching queue, after which nobody waits for the answer any more.
    timeout: float = math.inf
    #: Told the seconds that the graph took.
    on_run: Callable[[float], None] = lambda _: None
    #: Told how many examples a request has.
    on_examples: Callable[[int], None] = lambda _: None
