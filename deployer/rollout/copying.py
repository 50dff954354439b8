"""Has live requests copied to a candidate for a while, and says what became of them.

Whatever happens to the deployer, it ends: each serving node ends the copies by itself when the time is over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deployer.checks.subject import Copies, Interrupted
from roost.contracts.errors import NodeUnavailable
from roost.contracts.policy import CopyBounds
from roost.contracts.traffic import Answered, together
from roost.ports.clock import Clock
from roost.ports.serving import NodeAddress, NodeDirectory, Traffic

log = logging.getLogger(__name__)

#: How long a control port may take to answer.
_ANSWER_SECONDS: Final = 5.0
#: Between two looks at how many have come.
_LOOK_SECONDS: Final = 1.0
#: Nodes end the copies so much later than they are ended here.
_SLACK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copier:
    """For many threads; one served name at a time, which the rollouts' order sees to."""

    directory: NodeDirectory
    traffic: Traffic
    clock: Clock
    #: Set when the deployer ends.
    stopping: threading.Event

    def copy(self, name: str, pool: str, candidate: NodeAddress, bounds: CopyBounds) -> Copies:
        """Copy a share of the name's requests from all nodes of `pool` to the candidate's gateway.

        Until there are enough of them, and at most for the policy's seconds.

        Raises:
            NodeUnavailable: none of the nodes took it, or what they counted is not known.
            Interrupted: the deployer ends.
        """
        live = self._begin(name, self.directory.nodes(pool), candidate, bounds)
        try:
            before = self._counted(name, [candidate, *live])
            self._wait(name, candidate, before[candidate.node], bounds)
            after = self._counted(name, [candidate, *live])
        finally:
            self._end(name, live)
        rose = {node: _rise(node, before[node], after[node]) for node in before}
        return Copies(candidate=rose.pop(candidate.node), live=together(rose.values()))

    def _begin(
        self, name: str, nodes: Sequence[NodeAddress], candidate: NodeAddress, bounds: CopyBounds
    ) -> list[NodeAddress]:
        """Those that took it. A node that is away copies nothing, and answers nothing either."""
        copying, trouble = [], "the pool has no nodes"
        for node in nodes:
            try:
                self.traffic.mirror(
                    node,
                    name,
                    candidate,
                    percent=bounds.percent,
                    seconds=bounds.seconds + _SLACK_SECONDS,
                    deadline=_ANSWER_SECONDS,
                )
                copying.append(node)
            except NodeUnavailable as error:
                trouble = str(error)
        if not copying:
            raise NodeUnavailable(trouble)
        log.info("requests are copied", extra={"action": "copies_begin", "model": name, "nodes": len(copying)})
        return copying

    def _wait(self, name: str, candidate: NodeAddress, before: Answered, bounds: CopyBounds) -> None:
        end = self.clock.monotonic() + bounds.seconds
        while (left := end - self.clock.monotonic()) > 0:
            if self.clock.wait(min(left, _LOOK_SECONDS), self.stopping):
                raise Interrupted("the deployer ends while requests are copied")
            now = self.traffic.answered(candidate, name, deadline=_ANSWER_SECONDS)
            if _rise(candidate.node, before, now).total >= bounds.minimum_requests:
                return

    def _end(self, name: str, nodes: Iterable[NodeAddress]) -> None:
        for node in nodes:
            try:
                self.traffic.unmirror(node, name, deadline=_ANSWER_SECONDS)
            except NodeUnavailable as error:
                # It ends them by itself, some seconds later.
                log.warning("%s", error, extra={"action": "copies_end", "model": name})

    def _counted(self, name: str, nodes: Sequence[NodeAddress]) -> dict[str, Answered]:
        return {node.node: self.traffic.answered(node, name, deadline=_ANSWER_SECONDS) for node in nodes}


def _rise(node: str, before: Answered, after: Answered) -> Answered:
    rise = after.since(before)
    if rise is None:
        raise NodeUnavailable(f"the model server of node {node} was replaced meanwhile")
    return rise
