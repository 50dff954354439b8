"""Live requests copied from a serving node's gateway to a candidate on a canary node, switched on and off as the deployer does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from deployer.rollout.copying import Copier
from roost.contracts.policy import CopyBounds
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA = "ua.default"


@dataclass(frozen=True)
class Directory:
    """One node."""

    node: RunningNode

    def nodes(self, pool: str) -> list[NodeAddress]:
        return [self.node.address]


def test_live_requests_reach_the_candidate_while_they_are_measured_and_not_afterwards(
    shelf: Shelf, make_node: Callable[..., RunningNode]
):
    candidates = Shelf(shelf.store, shelf._models, pool="canary")
    candidates._digests = shelf._digests
    shelf.put(UA, 1, "one")
    shelf.put(UA, 2, "two")
    shelf.desire({UA: ([1], {"stable": 1})})
    candidates.desire({UA: ([2], {})})
    serving, canary = make_node(name="node-1"), make_node(name="canary-1")
    serving.start()
    canary.start(pool="canary")
    serving.await_ready()
    canary.await_ready()
    copier = Copier(
        directory=Directory(serving), traffic=serving.control, clock=SystemClock(), stopping=threading.Event()
    )
    stop, answers = threading.Event(), set()

    def ask() -> None:
        while not stop.is_set():
            answers.add(serving.rest(UA))
            answers.add(serving.answer(UA))

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            found = copier.copy(
                UA, "default", canary.address, CopyBounds(percent=100, seconds=120, minimum_requests=30)
            )
        finally:
            stop.set()
        asking.result(60)

    assert answers == {1.0}
    assert found.candidate.total >= 30
    assert (found.candidate.failed, found.live.failed) == (0, 0)
    assert found.candidate.timed == found.candidate.total
    assert found.live.total == found.live.timed > 0
    eventually(lambda: quiet(serving, canary), "nothing is copied any more")


def quiet(serving: RunningNode, canary: RunningNode) -> bool:
    """Whether ten more requests leave the candidate's count as it is."""

    def copied() -> int:
        return canary.control.answered(canary.address, UA, deadline=60).total

    before = copied()
    for _ in range(10):
        serving.rest(UA)
    return copied() == before
