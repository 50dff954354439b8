"""The runs of one graph: each prepared once, for the tensors that it feeds and fetches."""

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from roost.adapters.tf_messages import Array

#: Given the fed tensors in order, and the seconds that somebody waits for the answer; gives the fetched ones in order.
Run = Callable[[Sequence[Array], float], list[Array]]
#: The same without a limit, or with one that is always the same.
BareRun = Callable[[Sequence[Array]], list[Array]]
Names = tuple[str, ...]

#: Runs that are kept. A client that asks for ever new subsets of outputs has them prepared again each time.
MOST_RUNS = 128
#: Longest limit of a run, in milliseconds: whoever waits for more than nine hours does not mind.
_LONGEST_LIMIT = 2**25


class Preparing(Protocol):
    """A graph that prepares runs: `runtime.Graph`."""

    @property
    def endable(self) -> bool:
        """Whether a run of it can be ended before its end."""

    def callable(self, *, feeds: Sequence[str], fetches: Sequence[str], limit_ms: int = 0) -> BareRun:
        """Prepare one, which ends after `limit_ms` (0: never). Raises StatusError where a name is not in the graph."""


class Queues(Protocol):
    """Puts a queue before each run of one version, so that requests which come together are answered by one."""

    def batched(self, feeds: Names, fetches: Names, run: Run) -> tuple[Run, Callable[[], None]]:
        """Return a run that waits for others to join it, and what ends its queue."""


class Batching(Protocol):
    """Gives versions their queues."""

    def queues(self, directory: Path) -> Queues | None:
        """Return the queues of the version in this directory; None: it is not batched.

        Raises INVALID_ARGUMENT where its parameters cannot be.
        """


class PreparedRuns:
    """Prepares runs, keeps them, and batches them where asked. Safe for many threads."""

    def __init__(self, graph: Preparing, queues: Queues | None) -> None:
        """Prepare nothing yet."""
        self._graph = graph
        self._queueing = queues
        self._lock = threading.Lock()
        self._kept: dict[tuple[Names, Names], Run] = {}
        self._queues: dict[tuple[Names, Names], Run] = {}
        self._endings: list[Callable[[], None]] = []

    def get(self, feeds: Names, fetches: Names) -> Run:
        """Return the run for these tensors. Raises StatusError where the graph has no such tensor."""
        found = self._kept.get((feeds, fetches))
        if found is not None:
            return found
        with self._lock:
            run = self._batched(feeds, fetches) if self._queueing else self._bare(feeds, fetches)
            if len(self._kept) < MOST_RUNS:
                self._kept[feeds, fetches] = run
            return run

    def close(self) -> None:
        """End the queues and forget the runs; nobody may be running one."""
        for end in self._endings:
            end()
        self._kept.clear()
        self._queues.clear()

    def _bare(self, feeds: Names, fetches: Names) -> Run:
        prepared = self._graph.callable(feeds=feeds, fetches=fetches)
        if not self._graph.endable:
            return lambda values, _: prepared(values)
        return _Limited(prepared, lambda limit: self._graph.callable(feeds=feeds, fetches=fetches, limit_ms=limit)).run

    def _batched(self, feeds: Names, fetches: Names) -> Run:
        """Return a run through the queue that all share who feed and fetch the same tensors, in whatever order."""
        if self._queueing is None or len(self._queues) >= MOST_RUNS:
            return self._bare(feeds, fetches)
        key = (tuple(sorted(set(feeds))), tuple(sorted(set(fetches))))
        queue = self._queues.get(key)
        if queue is None:
            queue, end = self._queueing.batched(*key, self._bare(*key))
            self._queues[key] = queue
            self._endings.append(end)
        if key == (feeds, fetches):
            return queue
        return _reordered(queue, [feeds.index(name) for name in key[0]], [key[1].index(name) for name in fetches])


class _Limited:
    """A run that is ended when nobody waits for its answer any more, at the latest after twice that time.

    TensorFlow takes a limit when a run is prepared, not with each request: hence one for each power of two.
    """

    def __init__(self, prepared: BareRun, prepare: Callable[[int], BareRun]) -> None:
        """`prepare` gives the run with a limit in milliseconds, `prepared` is the one without."""
        self._prepared = prepared
        self._prepare = prepare
        self._lock = threading.Lock()
        self._kept: dict[int, BareRun] = {}

    def run(self, values: Sequence[Array], timeout: float) -> list[Array]:
        """Run, for somebody who waits so many seconds. Raises DEADLINE_EXCEEDED where it was ended."""
        limit = _limit_ms(timeout)
        if not limit:
            return self._prepared(values)
        with self._lock:
            limited = self._kept.get(limit)
            if limited is None:
                limited = self._kept[limit] = self._prepare(limit)
        return limited(values)


def _limit_ms(timeout: float) -> int:
    """Return the least power of two that is not less than a time-out in seconds, in milliseconds; 0: no limit."""
    if timeout * 1000 > _LONGEST_LIMIT:
        return 0
    return 1 << max(0, math.ceil(timeout * 1000) - 1).bit_length()


def _reordered(run: Run, feeds: Sequence[int], fetches: Sequence[int]) -> Run:
    def reordered(values: Sequence[Array], timeout: float) -> list[Array]:
        fetched = run([values[index] for index in feeds], timeout)
        return [fetched[index] for index in fetches]

    return reordered
