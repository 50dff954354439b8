"""How a request is run, whichever question it asks."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a request is run: the seconds that its answer is waited for, and who is told what it took."""

    #: Seconds after which nobody waits for the answer any more: it leaves its queue, and a run of it is ended.
    timeout: float = math.inf
    #: Told the seconds that the graph took.
    on_run: Callable[[float], None] = lambda _: None
    #: Told how many examples a request has.
    on_examples: Callable[[int], None] = lambda _: None
