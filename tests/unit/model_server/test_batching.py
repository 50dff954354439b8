"""Which requests go together: the file's parameters, and the queue. No thread, no clock."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.batching.parameters import BatchingParameters, read_parameters
from serving.model_server.batching.queue import BatchQueue, Task
from serving.model_server.statuses import Code, StatusError

FILE = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 2500 }
max_enqueued_batches { value: 3 }
num_batch_threads { value: 2 }
thread_pool_name { value: "mine" }
allowed_batch_sizes: 2
allowed_batch_sizes: 8
pad_variable_length_inputs: true
"""


def parameters(tmp_path: Path, text: str) -> BatchingParameters:
    """Read a file of this text."""
    (tmp_path / "batching.config").write_text(text)
    return read_parameters(str(tmp_path / "batching.config"))


def test_the_official_file_is_understood(tmp_path: Path) -> None:
    """Every parameter, and the official defaults where it says nothing."""
    assert parameters(tmp_path, FILE) == BatchingParameters(
        max_batch_size=8,
        timeout=0.0025,
        max_enqueued_batches=3,
        threads=2,
        pool="mine",
        allowed_sizes=(2, 8),
        pad_variable_length=True,
        most_executed=8,
    )
    plain = parameters(tmp_path, "\n")
    assert (plain.max_batch_size, plain.timeout, plain.max_enqueued_batches) == (1000, 0.0, 10)
    split_in_four = parameters(
        tmp_path,
        "max_batch_size { value: 16 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 4 }",
    )
    assert (split_in_four.split, split_in_four.max_batch_size, split_in_four.most_executed) == (True, 16, 4)


REFUSED: dict[str, str] = {
    "num_batch_threads { value: 0 }": "num_batch_threads must be positive; was 0",
    "max_batch_size { value: 8 } allowed_batch_sizes: 4": (
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8"
    ),
    "allowed_batch_sizes: 4": (
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 1000"
    ),
    "max_batch_size { value: 0 }": "input_batch_size_limit must be positive; was 0",
    "batch_timeout_micros { value: -5 }": "batch_timeout_micros must be non-negative; was -5",
    "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 } allowed_batch_sizes: 2": (
        "Last entry in allowed_batch_sizes must be equal to max_execution_batch_size; last entry was 2; expected 4"
    ),
    "enable_large_batch_splitting { value: true } max_batch_size { value: 2 } max_execution_batch_size { value: 4 }": (
        "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
        "max_execution_batch_size."
    ),
    "enable_large_batch_splitting { value: true } max_enqueued_batches { value: 0 }": (
        "max_enqueued_batches must be positive; was 0"
    ),
    "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 } allowed_batch_sizes: 4 "
    "allowed_batch_sizes: 4": "allowed_batch_sizes entries must be monotonically increasing",
    "max_batch_size: 8": "Invalid protobuf file: '{path}'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused_in_the_official_words(tmp_path: Path, text: str) -> None:
    """Where the file is read, the pool made, or the queue."""

    def act() -> None:
        found = parameters(tmp_path, text)
        found.check_pool()
        found.check_queue()

    with pytest.raises(StatusError) as refused:
        act()
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.message == REFUSED[text].replace("{path}", str(tmp_path / "batching.config"))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    """The path is in the text."""
    with pytest.raises(StatusError, match="nowhere"):
        read_parameters(str(tmp_path / "nowhere"))


def task(size: int, now: float = 0.0) -> Task:
    """A request of so many rows."""
    return Task(tensors=[np.arange(size, dtype=np.float32)], size=size, enqueued=now)


def test_a_batch_runs_when_it_is_full_or_has_waited() -> None:
    """Not before; and what does not fit begins the next."""
    queue = BatchQueue(BatchingParameters(max_batch_size=4, timeout=1.0, most_executed=4))
    assert queue.due() == float("inf")
    first, second, third = task(2, 10.0), task(2, 10.5), task(3, 10.6)
    queue.add(first)
    assert (queue.due(), queue.take(10.9)) == (11.0, [])
    queue.add(second)
    assert queue.due() < 0
    queue.add(third)
    assert queue.take(10.6) == [first, second]
    assert (queue.due(), queue.take(11.5)) == (11.6, [])
    assert queue.take(11.6) == [third]
    assert queue.take(99.0) == []


def test_a_request_larger_than_any_batch_is_refused() -> None:
    """At the door."""
    with pytest.raises(StatusError, match="Task size 5 is larger than maximum input batch size 4") as refused:
        BatchQueue(BatchingParameters(max_batch_size=4, most_executed=4)).add(task(5))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_full_queue_is_unavailable() -> None:
    """What fits into its open batch still goes in."""
    queue = BatchQueue(BatchingParameters(max_batch_size=2, most_executed=2, max_enqueued_batches=2))
    for _ in range(3):
        queue.add(task(1))
    queue.add(task(1))
    with pytest.raises(StatusError) as refused:
        queue.add(task(1))
    assert refused.value.code is Code.UNAVAILABLE
    assert refused.value.message == (
        "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
        "max_enqueued_batches is 2"
    )


SPLITTING = BatchingParameters(max_batch_size=10, most_executed=4, split=True, max_enqueued_batches=3)


def test_a_large_request_is_cut_where_the_open_batch_is_full() -> None:
    """Its pieces fill whole batches, and together are the request."""
    queue = BatchQueue(SPLITTING)
    queue.add(task(3))
    pieces = queue.add(task(7))
    assert [piece.size for piece in pieces] == [1, 4, 2]
    assert np.concatenate([piece.tensors[0] for piece in pieces]).tolist() == list(range(7))
    assert [len(queue.take(0.0)) for _ in range(3)] == [2, 1, 1]


def test_a_large_request_that_the_queue_cannot_hold_is_unavailable() -> None:
    """With the numbers that say why."""
    queue = BatchQueue(SPLITTING)
    queue.add(task(6))
    with pytest.raises(StatusError) as refused:
        queue.add(task(10))
    assert refused.value.message == (
        "The batch scheduling queue to which this task was submitted is full; task size is 10 but scheduling capacity "
        "is only 6 (num_enqueued_batches=2, max_enqueued_batches=3, open_batch_size=2, max_execution_batch_size=4)"
    )


@given(st.lists(st.integers(1, 10), max_size=30), st.booleans())
def test_no_row_is_lost_or_comes_twice(sizes: list[int], cut: bool) -> None:
    """Whatever comes, every batch is within its limit, in order, and all of it is what went in."""
    queue = BatchQueue(
        BatchingParameters(max_batch_size=10, most_executed=4 if cut else 10, split=cut, max_enqueued_batches=100)
    )
    for size in sizes:
        queue.add(task(size))
    taken: list[int] = []
    while batch := queue.take(0.0):
        assert sum(each.size for each in batch) <= (4 if cut else 10)
        taken += [each.size for each in batch]
    assert sum(taken) == sum(sizes)
    assert queue.due() == float("inf")
