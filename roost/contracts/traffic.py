"""What a model server has answered for one served name: how requests ended, and how long they took."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from pydantic import Field

from roost.contracts.manifest import Frozen

#: How TensorFlow Serving names the end of a request that was answered.
OK = "OK"


class Answered(Frozen):
    """Counts of one life of a model server, or what they rose by."""

    #: Process id of the server that counted; 0 where several did.
    server: int = 0
    #: Requests by how they ended: ``OK``, or TensorFlow's name of the error.
    ended: dict[str, int] = Field(default_factory=dict)
    #: Upper bound in seconds, and how many that were answered took so long and longer than the bound before.
    took: tuple[tuple[float, int], ...] = ()

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.ended.values())

    @property
    def failed(self) -> int:
        """Those that were not answered."""
        return self.total - self.ended.get(OK, 0)

    @property
    def timed(self) -> int:
        """Those of which the seconds are known."""
        return sum(count for _, count in self.took)

    def since(self, before: Answered) -> Answered | None:
        """What came after `before`; None where another server has counted since."""
        if self.server != before.server:
            return None
        earlier = dict(before.took)
        return Answered(
            server=self.server,
            ended={status: count - before.ended.get(status, 0) for status, count in self.ended.items()},
            took=tuple((bound, count - earlier.get(bound, 0)) for bound, count in self.took),
        )

    def within(self, share: float) -> float | None:
        """The least bound in seconds that this share of the timed requests keep; None where nothing was timed."""
        bounds = sorted(self.took)
        counted = accumulate(count for _, count in bounds)
        wanted = share * self.timed
        keeping = [bound for (bound, _), count in zip(bounds, counted, strict=True) if count >= wanted]
        return keeping[0] if self.timed else None

    def slower(self, seconds: float) -> int:
        """How many certainly took longer: those beyond the least bound that is not below `seconds`."""
        keeping = min((bound for bound, _ in self.took if bound >= seconds), default=seconds)
        return sum(count for bound, count in self.took if bound > keeping)


def together(parts: Iterable[Answered]) -> Answered:
    """The sum over several servers."""
    ended: dict[str, int] = {}
    took: dict[float, int] = {}
    for part in parts:
        for status, count in part.ended.items():
            ended[status] = ended.get(status, 0) + count
        for bound, count in part.took:
            took[bound] = took.get(bound, 0) + count
    return Answered(ended=ended, took=tuple(sorted(took.items())))
