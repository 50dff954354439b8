"""Requests that come together run together: their tensors joined and parted, by threads that outlive every batch."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.model_server.batching.joining import batch_size, merge, split
from serving.model_server.batching.parameters import BatchingParameters
from serving.model_server.batching.scheduler import BatchingOptions, BatchScheduler
from serving.model_server.metrics import Metrics
from serving.model_server.statuses import Code, StatusError

Tensor = np.ndarray[Any, Any]


def test_tensors_are_joined_row_by_row_and_the_batch_filled_with_a_row_that_is_valid() -> None:
    """The last request's first row, as often as an allowed size asks for; its outputs go to nobody."""
    one, two = [np.array([[1.0, 2.0]])], [np.array([[3.0, 4.0], [5.0, 6.0]])]
    (joined,) = merge([one, two], ["x"], padded=False, rows=5)
    assert joined.tolist() == [[1, 2], [3, 4], [5, 6], [3, 4], [3, 4]]
    shares = split([joined, joined[:, 0]], [1, 2], 5)
    assert [share[1].tolist() for share in shares] == [[1], [3, 5]]


def test_shorter_rows_are_continued_with_their_own_first_value() -> None:
    """To the longest of the batch, in each dimension but the first."""
    one, two = [np.array([[1, 2]])], [np.array([[3, 4, 5]])]
    (joined,) = merge([one, two], ["x"], padded=True, rows=2)
    assert joined.tolist() == [[1, 2, 1], [3, 4, 5]]
    words, more = [np.array([["a"]], object)], [np.array([["b", "c"]], object)]
    assert merge([words, more], ["x"], padded=True, rows=2)[0].tolist() == [["a", "a"], ["b", "c"]]


JOINING_FAULTS: dict[str, tuple[Any, Code, str]] = {
    "no tensor": (lambda: batch_size([]), Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor"),
    "a scalar": (
        lambda: batch_size([np.array(1)]),
        Code.INVALID_ARGUMENT,
        "Batching Run() input tensors must have at least one dimension",
    ),
    "uneven": (
        lambda: batch_size([np.zeros(1), np.zeros(2)]),
        Code.INVALID_ARGUMENT,
        "Batching Run() input tensors must have equal 0th-dimension size",
    ),
    "other shapes": (
        lambda: merge([[np.zeros((1, 2))], [np.zeros((1, 3))]], ["x:0"], padded=False, rows=2),
        Code.FAILED_PRECONDITION,
        (
            "Tensors with name 'x:0' from different tasks have different shapes and padding is turned off."
            "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name"
            "have equal dimensions starting with the first dim."
        ),
    ),
    "other dtypes": (
        lambda: merge([[np.zeros(1)], [np.zeros(1, np.float32)]], ["x:0"], padded=False, rows=2),
        Code.INTERNAL,
        (
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
            "types. Got double and float."
        ),
    ),
    "nothing to pad with": (
        lambda: merge([[np.zeros((1, 0))], [np.zeros((1, 3))]], ["x"], padded=True, rows=2),
        Code.INVALID_ARGUMENT,
        "Got empty tensor in batch of non-empty tensors.",
    ),
    "seven dimensions": (
        lambda: merge([[np.zeros((1,) * 7)]], ["x"], padded=True, rows=1),
        Code.INVALID_ARGUMENT,
        "Only tensors with rank from 1 to 6 can be padded.",
    ),
    "an output without rows": (
        lambda: split([np.array(1.0)], [1], 1),
        Code.FAILED_PRECONDITION,
        "Batched output tensor has 0 dimensions",
    ),
    "an output of other rows": (
        lambda: split([np.zeros(3)], [1, 1], 2),
        Code.FAILED_PRECONDITION,
        "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors",
    ),
}


@pytest.mark.parametrize("case", JOINING_FAULTS)
def test_what_cannot_be_joined_is_refused_in_the_official_words(case: str) -> None:
    """Code and text."""
    act, code, text = JOINING_FAULTS[case]
    with pytest.raises(StatusError) as refused:
        act()
    assert (refused.value.code, refused.value.message) == (code, text)


class Doubling:
    """A run that doubles what it is fed, remembers each batch, and can be held."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []
        self.open = threading.Event()

    def __call__(self, tensors: Any, timeout: float) -> list[Tensor]:
        self.open.wait(60)
        self.batches.append(tensors[0])
        return [tensors[0] * 2]


def asked(scheduler: BatchScheduler, run: Doubling, requests: list[Tensor], timeout: float = 60.0) -> list[Any]:
    """Ask all at once; the result or the error of each. The run is let go when all are in the queue."""
    queues = scheduler.queues(Path("/nowhere"))
    assert queues is not None
    ask, end = queues.batched(("x",), ("y",), run)

    def one(request: Tensor) -> Any:
        try:
            return ask([request], timeout)[0].tolist()
        except StatusError as error:
            return error.message

    with ThreadPoolExecutor(len(requests)) as pool:
        futures = [pool.submit(one, request) for request in requests]
        run.open.set()
        answers = [future.result(timeout=60) for future in futures]
    end()
    return answers


def test_requests_that_come_together_are_answered_by_one_run_each_with_its_own_rows() -> None:
    """Eight requests, one batch of eight."""
    scheduler = BatchScheduler(BatchingParameters(max_batch_size=8, timeout=5.0, threads=1, most_executed=8), Metrics())
    run = Doubling()
    answers = asked(scheduler, run, [np.array([float(number)]) for number in range(8)])
    assert answers == [[2.0 * number] for number in range(8)]
    assert [len(batch) for batch in run.batches] == [8]


SHAPES = [np.zeros((1, 2)), np.zeros((1, 3))]


def test_requests_of_different_shapes_run_apart_unless_rigour_asks_for_the_official_hazard() -> None:
    """There they fail each other, as officially."""
    plan = BatchingParameters(max_batch_size=2, timeout=5.0, threads=1, most_executed=2)
    assert asked(BatchScheduler(plan, Metrics()), Doubling(), SHAPES) == [[[0, 0]], [[0, 0, 0]]]
    answers = asked(BatchScheduler(plan, Metrics(), BatchingOptions(mixed=True)), Doubling(), SHAPES)
    assert all("have different shapes and padding is turned off" in answer for answer in answers)


def test_a_request_whose_time_is_up_in_the_queue_is_told_so() -> None:
    """Nobody waits for its answer; the batch is not run."""
    scheduler = BatchScheduler(BatchingParameters(timeout=0.05, threads=1), Metrics())
    run = Doubling()
    assert asked(scheduler, run, [np.zeros(1)], timeout=0.0) == [
        "Run() timeout exceeded while waiting in batching queue"
    ]
    assert not run.batches


def test_an_error_of_the_run_reaches_all_who_wait_and_the_thread_goes_on() -> None:
    """Even one that nobody foresaw."""
    scheduler = BatchScheduler(BatchingParameters(max_batch_size=2, timeout=5.0, threads=1, most_executed=2), Metrics())

    class Broken(Doubling):
        def __call__(self, tensors: Any, timeout: float) -> list[Tensor]:
            raise ZeroDivisionError("nobody foresaw")

    assert asked(scheduler, Broken(), [np.zeros(1)] * 2) == ["ZeroDivisionError: nobody foresaw"] * 2
    assert asked(scheduler, Doubling(), [np.ones(1)] * 2) == [[2.0]] * 2


def test_what_is_batched_is_measured_by_the_official_names() -> None:
    """Requests, batches, and what was padded."""
    metrics = Metrics()
    plan = BatchingParameters(max_batch_size=4, timeout=1.0, threads=1, most_executed=4, allowed_sizes=(1, 4))
    asked(BatchScheduler(plan, metrics), Doubling(), [np.zeros(1)] * 3)
    page = metrics.page()
    assert ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name=""} 3' in page
    assert ":tensorflow:serving:batching_session:processed_batch_size_sum{} 4" in page
    assert ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="4"} 1' in page


def test_a_model_may_bring_its_own_parameters_and_is_not_batched_without(tmp_path: Path) -> None:
    """Where the flag asks for it; the threads stay the server's."""
    scheduler = BatchScheduler(BatchingParameters(threads=1), Metrics(), BatchingOptions(per_model=True))
    assert scheduler.queues(tmp_path) is None
    (tmp_path / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 2 } batch_timeout_micros { value: 5000000 }"
    )
    queues = scheduler.queues(tmp_path)
    assert queues is not None
    run = Doubling()
    run.open.set()
    ask, _ = queues.batched(("x",), ("y",), run)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda value: ask([np.array([value])], 10.0)[0].tolist(), (1.0, 2.0)))
    assert (answers, len(run.batches)) == ([[2.0], [4.0]], 1)
    (tmp_path / "batching_params.pbtxt").write_text("allowed_batch_sizes: 7")
    with pytest.raises(StatusError, match="Last entry in allowed_batch_sizes must match max_batch_size"):
        scheduler.queues(tmp_path)
