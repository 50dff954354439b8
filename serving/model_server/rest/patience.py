"""How long the HTTP server waits: for a request, for the rest of one, and for its answer."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a connection may be without a request, that a request or an answer may stall, and work may take.

    A request that trickles in, a byte now and a byte then, never stalls; so it must besides keep to a pace: from its
    first byte on it has `stall` seconds and one more for each `slowest` bytes.
    """

    idle: float = 3600.0
    stall: float = 30.0
    slowest: float = 1024.0
    answer: float = math.inf

    def rest(self, waited: float, received: int) -> float:
        """The seconds until the next byte of a request must come, that many seconds after its first one; 0: no more."""
        return max(0.0, min(self.stall, self.stall + received / self.slowest - waited))
