"""Nobody who asks for predictions notices a promotion."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import httpx
import pytest

from roost.contracts.errors import RoostError
from tests.integration.node.world import RunningNode, Shelf

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA = "ua.default"


class Load:
    """Asks without a pause, over gRPC and REST in turn, and keeps what it was told."""

    def __init__(self, node: RunningNode) -> None:
        self.answers: list[float] = []
        self.failures: list[str] = []
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def until_answered_by(self, version: int, seconds: float = 10) -> None:
        """Until the load itself has seen that version: a flip and the next one may both fit between two requests."""
        end = time.monotonic() + seconds
        while not self.answers or self.answers[-1] != float(version):
            assert time.monotonic() < end, f"version {version} was never the answer: {self.answers[-5:]}"
            time.sleep(0.002)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.append(self._node.answer(UA))
                self.answers.append(self._node.rest(UA))
            except (RoostError, AssertionError, httpx.TransportError) as error:
                self.failures.append(repr(error))


def test_promotion_and_rollback_fail_no_request(shelf: Shelf, make_node: Callable[..., RunningNode]):
    shelf.put(UA, 1, "one")
    shelf.put(UA, 2, "two")
    shelf.put(UA, 3, "three")
    shelf.desire({UA: ([1], {"stable": 1})})
    node = make_node()
    node.start()
    node.await_ready()
    with Load(node) as load:
        for versions, stable in [([1, 2], 1), ([1, 2], 2), ([2], 2), ([2, 3], 3), ([2, 3], 2), ([3], 3), ([2], 2)]:
            state = node.settle(shelf.desire({UA: (versions, {"stable": stable})}))
            assert state.serves(UA, stable)
            load.until_answered_by(stable)
    assert load.failures == []
    assert {1.0, 2.0, 3.0} <= set(load.answers)
    assert load.answers[-1] == 2.0
