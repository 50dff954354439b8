"""Which requests go together, and when: one queue of batches for one run of one version. No threads, no clock.

As TensorFlow's `shared_batch_scheduler.h`: the last batch is open and takes what fits; one that is closed, full, or
has waited its time may be taken. Instants are seconds of any clock that only goes forward.
"""

import math
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from roost.adapters.tf_messages import Array
from serving.model_server.batching.joining import Tensors
from serving.model_server.batching.parameters import BatchingParameters
from serving.model_server.statuses import Code, StatusError, invalid_argument


@dataclass(slots=True, eq=False, kw_only=True)
class Task:
    """A request, or a piece of one, in the queue. Nobody waits for its answer after `deadline`."""

    tensors: Tensors
    size: int
    enqueued: float
    deadline: float = math.inf
    answer: Future[list[Array]] = field(default_factory=Future)


@dataclass(slots=True, kw_only=True)
class _Batch:
    tasks: list[Task] = field(default_factory=list)
    size: int = 0
    begun: float = 0.0


class BatchQueue:
    """The queue. Not safe for threads: its user holds a lock."""

    def __init__(self, parameters: BatchingParameters) -> None:
        """Begin with one open batch, empty."""
        self._parameters = parameters
        self._batches = deque([_Batch()])

    def add(self, task: Task) -> list[Task]:
        """Enqueue a request, and return its pieces: itself, or more where large ones are split.

        Raises INVALID_ARGUMENT for one that is larger than any batch, UNAVAILABLE where the queue is full.
        """
        limit = self._parameters.max_batch_size
        if task.size > limit:
            raise invalid_argument(f"Task size {task.size} is larger than maximum input batch size {limit}")
        pieces = self._pieces(task) if self._parameters.split else [task]
        for piece in pieces:
            self._place(piece)
        return pieces

    def take(self, now: float) -> list[Task]:
        """Return the requests of the next batch that may run now; none where none may."""
        if len(self._batches) == 1 and self._may_run(self._batches[0], now):
            self._batches.append(_Batch())
        return self._batches.popleft().tasks if len(self._batches) > 1 else []

    def due(self) -> float:
        """Return when the next batch may run: in the past for one that may already, infinity where there is none."""
        if len(self._batches) > 1:
            return -math.inf
        batch = self._batches[0]
        if not batch.tasks:
            return math.inf
        full = batch.size >= self._parameters.most_executed
        return -math.inf if full else batch.begun + self._parameters.timeout

    def _may_run(self, batch: _Batch, now: float) -> bool:
        return bool(batch.tasks) and now >= self.due()

    def _place(self, task: Task) -> None:
        batch = self._batches[-1]
        if batch.size + task.size > self._parameters.most_executed:
            if not self._parameters.split and len(self._batches) >= self._parameters.max_enqueued_batches:
                raise self._full(
                    f"currently {len(self._batches)} batches enqueued and max_enqueued_batches is "
                    f"{self._parameters.max_enqueued_batches}"
                )
            batch = _Batch()
            self._batches.append(batch)
        if not batch.tasks:
            batch.begun = task.enqueued
        batch.tasks.append(task)
        batch.size += task.size

    def _pieces(self, task: Task) -> list[Task]:
        """Cut a request where the open batch is full, and then into whole batches."""
        most, open_size = self._parameters.most_executed, self._batches[-1].size
        capacity = (self._parameters.max_enqueued_batches - len(self._batches)) * most + most - open_size
        if task.size > capacity:
            raise self._full(
                f"task size is {task.size} but scheduling capacity is only {capacity} "
                f"(num_enqueued_batches={len(self._batches)}, "
                f"max_enqueued_batches={self._parameters.max_enqueued_batches}, open_batch_size={open_size}, "
                f"max_execution_batch_size={most})"
            )
        if open_size + task.size <= most:
            return [task]
        first = most - open_size
        starts = [*([0] if first else []), *range(first, task.size, most)]
        ends = [*starts[1:], task.size]
        return [
            Task(
                tensors=[tensor[start:end] for tensor in task.tensors],
                size=end - start,
                enqueued=task.enqueued,
                deadline=task.deadline,
            )
            for start, end in zip(starts, ends, strict=True)
        ]

    @staticmethod
    def _full(why: str) -> StatusError:
        return StatusError(
            Code.UNAVAILABLE, f"The batch scheduling queue to which this task was submitted is full; {why}"
        )
