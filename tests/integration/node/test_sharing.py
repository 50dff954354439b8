"""A share of the requests for the previous version, on a real node: begun and ended under load, and no request fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA = "ua.default"
BOTH = ([1, 2], {"stable": 2, "previous": 1})


def versions(node: RunningNode) -> list[int]:
    return [entry.version for entry in node.state().model(UA).versions]


def test_a_share_begins_with_the_flip_and_ends_with_the_bake_and_nobody_notices(
    shelf: Shelf, make_node: Callable[..., RunningNode]
):
    shelf.put(UA, 1, "one")
    shelf.put(UA, 2, "two")
    shelf.desire({UA: ([1], {"stable": 1})})
    node = make_node()
    node.start()
    node.await_ready()
    node.settle(shelf.desire({UA: ([1, 2], {"stable": 1})}))
    stop, answers = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answers.append((time.monotonic(), node.rest(UA)))

    def since(began: float) -> set[float]:
        return {answer for at, answer in answers if at > began}

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            eventually(lambda: len(answers) > 5, "it answers")
            node.settle(shelf.desire({UA: BOTH}, splits={UA: {"previous": 50}}))
            began = time.monotonic()
            eventually(lambda: since(began) == {1.0, 2.0} or asking.done(), "both versions answer")
            node.settle(shelf.desire({UA: ([2], {"stable": 2})}))
            eventually(lambda: versions(node) == [2] or asking.done(), "1 is unloaded")
            ended = time.monotonic()
            eventually(lambda: len(since(ended)) > 0 or asking.done(), "it still answers")
        finally:
            stop.set()
        asking.result(60)

    assert since(began) == {1.0, 2.0}
    assert since(ended) == {2.0}
