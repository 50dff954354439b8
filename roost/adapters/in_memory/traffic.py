"""Live requests at an even rate, copies of them, and how the nodes answer both: `Traffic` without a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from roost.contracts.errors import NodeUnavailable
from roost.contracts.traffic import OK, Answered
from roost.ports.clock import Clock
from roost.ports.serving import NodeAddress


@dataclass(slots=True, kw_only=True)
class Manner:
    """How one node answers."""

    #: Share of its requests that fails, and how.
    failing: float = 0.0
    status: str = "INTERNAL"
    #: What the others take.
    seconds: float = 0.01
    #: It answers nothing at its control port.
    down: bool = False
    #: Changes where its model server is replaced.
    server: int = 1


@dataclass(slots=True, kw_only=True)
class _Mirror:
    to: str
    percent: float
    began: float
    until: float


@dataclass(slots=True, kw_only=True)
class InMemoryTraffic:
    """Every node of one pool gets `per_second` requests under each served name."""

    clock: Clock
    pool: str = "default"
    per_second: float = 0.0
    manners: dict[str, Manner] = field(default_factory=dict)
    _mirrors: dict[tuple[str, str], _Mirror] = field(default_factory=dict)
    _copied: dict[tuple[str, str], float] = field(default_factory=dict)

    def manner(self, node: str) -> Manner:
        """How that node answers: set its fields."""
        return self.manners.setdefault(node, Manner())

    def copied_now(self) -> list[tuple[str, str]]:
        """Node and served name of what is copied now."""
        now = self.clock.monotonic()
        return [key for key, mirror in self._mirrors.items() if now < mirror.until]

    def answered(self, node: NodeAddress, name: str, *, deadline: float) -> Answered:
        """What came until now, answered in the node's manner."""
        manner = self._up(node, deadline)
        for each in [key for key in self._mirrors if key[1] == name]:
            self._settle(each)
        own = self.per_second * self.clock.monotonic() if node.pool == self.pool else 0.0
        total = int(own + self._copied.get((node.node, name), 0.0))
        failed = int(total * manner.failing)
        ended = {OK: total - failed, manner.status: failed}
        return Answered(server=manner.server, ended=ended, took=((manner.seconds, total - failed),))

    def mirror(
        self, node: NodeAddress, name: str, to: NodeAddress, *, percent: float, seconds: float, deadline: float
    ) -> None:
        """Copy from now on."""
        self._up(node, deadline)
        now = self.clock.monotonic()
        self._mirrors[node.node, name] = _Mirror(to=to.node, percent=percent, began=now, until=now + seconds)

    def unmirror(self, node: NodeAddress, name: str, *, deadline: float) -> None:
        """Copy no more."""
        self._up(node, deadline)
        self._settle((node.node, name))
        self._mirrors.pop((node.node, name), None)

    def _settle(self, key: tuple[str, str]) -> None:
        mirror = self._mirrors.get(key)
        if mirror is None:
            return
        now = min(self.clock.monotonic(), mirror.until)
        came = max(0.0, now - mirror.began) * self.per_second * mirror.percent / 100
        self._copied[mirror.to, key[1]] = self._copied.get((mirror.to, key[1]), 0.0) + came
        mirror.began = max(now, mirror.began)

    def _up(self, node: NodeAddress, deadline: float) -> Manner:
        manner = self.manner(node.node)
        if manner.down:
            raise NodeUnavailable(f"node {node.node} did not answer within {deadline:g} s")
        return manner
