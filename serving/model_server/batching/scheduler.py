"""The threads that run batches, shared by all versions of all models, each queue in its turn."""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roost.adapters.tf_messages import Array
from serving.model_server.batching.joining import batch_size, likeness, merge, split
from serving.model_server.batching.parameters import PER_MODEL_FILE, BatchingParameters, read_parameters
from serving.model_server.batching.queue import BatchQueue, Task
from serving.model_server.metrics import Metrics
from serving.model_server.prepared_runs import Names, Run
from serving.model_server.statuses import Code, StatusError

_LOG = logging.getLogger(__name__)
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A queue, and what answers a batch of it."""

    parameters: BatchingParameters
    queue: BatchQueue
    feeds: Names
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingOptions:
    """`mixed`: requests of different shapes or dtypes share a batch, and fail together, as officially.

    `per_model`: a version is batched by the parameters in its own directory, and only if there are any.
    """

    mixed: bool = False
    per_model: bool = False


class BatchScheduler:
    """Batches runs (`prepared_runs.Batching`). Its threads start with it and end with the process."""

    def __init__(
        self, parameters: BatchingParameters, metrics: Metrics, options: BatchingOptions = BatchingOptions()
    ) -> None:
        """Start the threads. Raises INVALID_ARGUMENT where the parameters give none."""
        parameters.check_pool()
        self._parameters = parameters
        self._metrics = metrics
        self._options = options
        self._changed = threading.Condition()
        self._queues: list[_Served] = []
        self._next = 0
        for number in range(parameters.threads):
            threading.Thread(target=self._work, name=f"{parameters.pool}_{number}", daemon=True).start()

    def queues(self, directory: Path) -> "VersionQueues | None":
        """Return the queues of the version in this directory; None: it is not batched.

        Raises INVALID_ARGUMENT where no queue can be as its parameters are: it does not load.
        """
        parameters = self._parameters
        if self._options.per_model:
            own = directory / PER_MODEL_FILE
            if not own.is_file():
                return None
            parameters = read_parameters(str(own))
        parameters.check_queue()
        return VersionQueues(self, parameters)

    def add(self, parameters: BatchingParameters, feeds: Names, run: Run) -> tuple[Run, Callable[[], None]]:
        """Return a run that waits for others to join it, and what ends its queue (when nobody waits any more)."""
        served = _Served(parameters=parameters, queue=BatchQueue(parameters), feeds=feeds, run=run)
        with self._changed:
            self._queues.append(served)

        def end() -> None:
            with self._changed:
                self._queues.remove(served)

        return lambda tensors, timeout: self._ask(served, tensors, timeout), end

    def _ask(self, served: _Served, tensors: Sequence[Array], timeout: float) -> list[Array]:
        """Enqueue one request, wait for its answer, and return it."""
        size = batch_size(tensors)
        for _ in tensors:
            self._metrics.batch_input_size.add(value=size)
        now = time.monotonic()
        task = Task(tensors=tensors, size=size, enqueued=now, deadline=now + timeout)
        with self._changed:
            pieces = served.queue.add(task)
            self._changed.notify()
        answers = [piece.answer.result() for piece in pieces]
        if len(answers) == 1:
            return answers[0]
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def _work(self) -> None:
        while True:
            served, batch = self._take()
            begun = time.monotonic()
            for task in batch:
                # The official server knows the pool's name here only for models of its own making.
                self._metrics.batch_queuing.add("", value=(begun - task.enqueued) * _MICROSECONDS)
            for tasks in self._alike(served, batch):
                self._answer(served, tasks, begun)

    def _alike(self, served: _Served, batch: list[Task]) -> Iterable[list[Task]]:
        """Return the requests that one run can answer: all, or those of the same shapes and dtypes."""
        if self._options.mixed or len(batch) == 1:
            return [batch]
        groups: dict[Hashable, list[Task]] = {}
        for task in batch:
            groups.setdefault(likeness(task.tensors, padded=served.parameters.pad_variable_length), []).append(task)
        return groups.values()

    def _answer(self, served: _Served, tasks: list[Task], begun: float) -> None:
        """Run a batch, and give each request its share, or the error that all of them end with."""
        try:
            _check_deadlines(tasks, begun)
            shares = self._run(served, tasks, max(task.deadline for task in tasks) - begun)
        except StatusError as error:
            _fail(tasks, error)
        except Exception as error:  # noqa: BLE001  (it ends as these requests' answer)
            # A thread of the pool must outlive whatever one batch brings; those who wait are told.
            _LOG.exception("A batch failed")
            _fail(tasks, StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}"))
        else:
            for task, share in zip(tasks, shares, strict=True):
                task.answer.set_result(share)

    def _take(self) -> tuple[_Served, list[Task]]:
        """Wait for a batch that may run. Queues are asked in turn, so that a busy one does not starve the others."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = math.inf
                for offset in range(len(self._queues)):
                    index = (self._next + offset) % len(self._queues)
                    tasks = self._queues[index].queue.take(now)
                    if tasks:
                        self._next = index + 1
                        return self._queues[index], tasks
                    due = min(due, self._queues[index].queue.due())
                self._changed.wait(timeout=None if due == math.inf else max(0.0, due - now))

    def _run(self, served: _Served, tasks: list[Task], timeout: float) -> list[list[Array]]:
        sizes = [task.size for task in tasks]
        rows = served.parameters.padded(sum(sizes))
        self._metrics.batch_padding.add(str(rows), value=rows - sum(sizes))
        self._metrics.batch_processed_size.add(value=rows)
        padded = served.parameters.pad_variable_length
        merged = merge([task.tensors for task in tasks], served.feeds, padded=padded, rows=rows)
        return split(served.run(merged, timeout), sizes, len(merged[0]))


class VersionQueues:
    """The queues of one version (`prepared_runs.Queues`)."""

    def __init__(self, scheduler: BatchScheduler, parameters: BatchingParameters) -> None:
        """Have none yet."""
        self._scheduler = scheduler
        self._parameters = parameters

    def batched(self, feeds: Names, fetches: Names, run: Run) -> tuple[Run, Callable[[], None]]:
        """Return a run that waits for others to join it, and what ends its queue."""
        del fetches  # the run knows them
        return self._scheduler.add(self._parameters, feeds, run)


def _check_deadlines(tasks: Sequence[Task], now: float) -> None:
    if all(task.deadline <= now for task in tasks):
        raise StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")


def _fail(tasks: Sequence[Task], error: StatusError) -> None:
    for task in tasks:
        task.answer.set_exception(StatusError(error.code, error.message))  # each thread raises one of its own
