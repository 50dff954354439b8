"""What a gateway is told while it runs: who answers a name, in which shares, what is mirrored and what recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.gateway.messages import Message
from serving.gateway.shares import bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A copy of some requests of one served name goes to a candidate, whose answer is dropped."""

    #: Of the requests that the stable version answers.
    percent: float
    #: The canary node's gateway, ``host:port``.
    rest: str
    grpc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Everything that is not `stable` for everybody. Names that are in neither mapping cost nothing."""

    #: Served name to label to percent; what is left goes to `stable`.
    splits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    mirrors: Mapping[str, Mirror] = field(default_factory=dict)
    #: Share of the predictions that is copied to the page's socket, to be recorded. 0: no copies at all.
    recorded: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether every request without a version goes to `stable` and nowhere else."""
        return not (self.splits or self.mirrors)

    def entries(self, door: str) -> dict[str, Message]:
        """What the script at that door is told, by served name."""
        return {name: self._entry(name, door) for name in sorted({*self.splits, *self.mirrors})}

    def _entry(self, name: str, door: str) -> Message:
        entry: Message = {}
        split = [{"label": label, "below": below} for label, below in bounds(self.splits.get(name, {}))]
        if split:
            entry["split"] = split
        mirror = self.mirrors.get(name)
        if mirror is not None:
            address = mirror.rest if door == "rest" else mirror.grpc
            entry["mirror"] = {"percent": mirror.percent, "cluster": mirror_cluster(address)}
        return entry


def mirror_cluster(address: str) -> str:
    """Name of the cluster behind which a candidate's gateway stands."""
    return f"mirror/{address}"
