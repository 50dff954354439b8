"""Runs are prepared once, and those that can be ended have a limit near to what somebody waits."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from roost.adapters.tf_messages import Array
from serving.model_server.prepared_runs import BareRun, PreparedRuns


class Graph:
    """Prepares runs that answer with their limit, and remembers what it prepared."""

    def __init__(self, *, endable: bool) -> None:
        self.endable = endable
        self.prepared: list[int] = []

    def callable(self, *, feeds: Sequence[str], fetches: Sequence[str], limit_ms: int = 0) -> BareRun:
        del feeds, fetches
        self.prepared.append(limit_ms)
        answer: list[Array] = [np.array(limit_ms)]
        return lambda _: answer


def limit(runs: PreparedRuns, timeout: float) -> int:
    (answer,) = runs.get(("x",), ("y",))([], timeout)
    return int(answer)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(-1.0, 1), (0.0, 1), (0.001, 1), (0.0011, 2), (0.3, 512), (1.024, 1024), (30.0, 32768), (math.inf, 0), (1e9, 0)],
)
def test_a_run_is_ended_after_at_most_twice_what_somebody_waits(seconds: float, milliseconds: int) -> None:
    assert limit(PreparedRuns(Graph(endable=True), None), seconds) == milliseconds


def test_a_limit_is_prepared_once() -> None:
    graph = Graph(endable=True)
    runs = PreparedRuns(graph, None)
    assert [limit(runs, seconds) for seconds in (30.0, 29.0, math.inf, 31.0)] == [32768, 32768, 0, 32768]
    assert graph.prepared == [0, 32768]


def test_what_ends_at_no_moment_but_its_own_gets_no_limit() -> None:
    graph = Graph(endable=False)
    assert limit(PreparedRuns(graph, None), 0.3) == 0
    assert graph.prepared == [0]
