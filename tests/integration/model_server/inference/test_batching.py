"""With `--enable_batching`, requests that come together run together, within what the parameters file says."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from roost.adapters.tf_messages import array_from_tensor
from tests.integration.model_server.inference.conftest import MONITORING
from tests.integration.model_server.inference.questions import classification, examples, refusal
from tests.integration.model_server.running import DROP_IN, RunningServer, config, free_port, predict_request, starting

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

#: Half a second to gather four rows.
PARAMETERS = """
max_batch_size { value: 4 }
batch_timeout_micros { value: 500000 }
max_enqueued_batches { value: 2 }
num_batch_threads { value: 1 }
allowed_batch_sizes: 2
allowed_batch_sizes: 4
"""


@contextmanager
def a_batching_server(
    program: Sequence[str], models: Mapping[str, Path], directory: Path, parameters: str
) -> Iterator[RunningServer]:
    (directory / "batching").write_text(parameters)
    (directory / "monitoring").write_text(MONITORING)
    with starting(program) as start:
        yield start(
            "--enable_batching",
            f"--batching_parameters_file={directory}/batching",
            f"--monitoring_config_file={directory}/monitoring",
            "--rest_api_num_threads=16",
            "--grpc_max_threads=16",
            models=config(models),
        )


@pytest.fixture(scope="module")
def batching(
    program: Sequence[str], saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that batches."""
    models = {each: saved_models / each for each in ("rows", "census")}
    with a_batching_server(program, models, tmp_path_factory.mktemp("batching"), PARAMETERS) as server:
        yield server


@pytest.fixture(scope="module")
def patient(
    program: Sequence[str], saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """One whose batches wait until they are full: requests sent at once meet, however busy this machine is.

    The other model warms up, by a batch that is not full.
    """
    parameters = PARAMETERS.replace("500000", "3600000000")
    directory = tmp_path_factory.mktemp("patient")
    with a_batching_server(program, {"rows": saved_models / "rows"}, directory, parameters) as server:
        yield server


def rows(server: RunningServer, values: list[list[float]], signature: str = "") -> Any:
    """Ask `rows`."""
    return server.predict("rows", {"x": np.array(values, np.float32)}, signature=signature)


def together(server: RunningServer, requests: list[list[list[float]]]) -> list[Any]:
    """Ask all at once."""
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda values: rows(server, values), requests))


def samples(server: RunningServer) -> dict[str, float]:
    """The metrics of batching, by name without prefix."""
    page = server.http("GET", "/monitoring/prometheus/metrics").text
    prefix = ":tensorflow:serving:batching_session:"
    lines = (line.removeprefix(prefix).rsplit(" ", 1) for line in page.splitlines() if line.startswith(prefix))
    return {name: float(value) for name, value in lines}


def test_concurrent_requests_make_fewer_runs_and_each_gets_its_own_rows(patient: RunningServer) -> None:
    """Eight requests of one row and batches of four: two runs, as the graph itself and the metrics say."""
    before = samples(patient)
    responses = together(patient, [[[float(number), 1.0]] for number in range(8)])
    for number, response in enumerate(responses):
        assert array_from_tensor(response.outputs["same"]).tolist() == [[number, 1.0]]
        assert list(response.outputs["sum"].float_val) == [number + 1.0]
        assert list(response.outputs["together"].int_val) == [4]
    after = samples(patient)
    assert after["processed_batch_size_count{}"] - before.get("processed_batch_size_count{}", 0) == 2
    queued = 'queuing_latency_count{thread_pool_name=""}'
    assert after[queued] - before.get(queued, 0) == 8


def test_a_batch_that_waited_runs_padded_to_an_allowed_size(batching: RunningServer) -> None:
    """One row runs as two, three as four; the padding goes to nobody."""
    assert list(rows(batching, [[1.0]]).outputs["together"].int_val) == [2]
    three = rows(batching, [[1.0], [2.0], [3.0]])
    assert list(three.outputs["sum"].float_val) == [1.0, 2.0, 3.0]
    assert list(three.outputs["together"].int_val) == [4, 4, 4]


def test_requests_of_different_shapes_do_not_disturb_each_other(program: Sequence[str], patient: RunningServer) -> None:
    """They share a batch of the queue, but not a run."""
    if program is not DROP_IN:
        pytest.skip("there they fail each other")
    responses = together(patient, [[[1.0, 2.0]], [[1.0, 2.0, 3.0]], [[5.0, 5.0]], [[0.0, 0.0, 1.0]]])
    assert [list(each.outputs["sum"].float_val) for each in responses] == [[3.0], [6.0], [10.0], [1.0]]
    assert {each.outputs["together"].int_val[0] for each in responses} == {2}


@pytest.fixture(scope="module")
def crowded(
    program: Sequence[str], saved_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with two threads for each way in, whose batches wait for three requests, however long that takes."""
    file = tmp_path_factory.mktemp("crowded") / "batching"
    file.write_text("max_batch_size { value: 3 } batch_timeout_micros { value: 3600000000 }")
    rest = 2 if program is DROP_IN else 3  # the official server's loop of connections takes one
    with starting(program) as start:
        yield start(
            "--enable_batching",
            f"--batching_parameters_file={file}",
            f"--rest_api_num_threads={rest}",
            "--grpc_max_threads=2",
            models=config({"rows": saved_models / "rows"}),
        )


@pytest.mark.parametrize("ways", [("rest", "rest", "grpc"), ("grpc", "grpc", "rest")], ids=" ".join)
def test_neither_way_in_starves_the_other(crowded: RunningServer, ways: Sequence[str]) -> None:
    """Where all threads of one are taken by requests that wait, the other still answers, and so ends their waiting."""

    def ask(way: str) -> int:
        if way == "grpc":
            return int(rows(crowded, [[1.0]]).outputs["together"].int_val[0])
        return int(crowded.post("rows:predict", {"inputs": [[1.0]]}).json["outputs"]["together"][0])

    with ThreadPoolExecutor(len(ways)) as pool:
        assert list(pool.map(ask, ways)) == [3, 3, 3]


def test_rest_grpc_and_examples_are_batched_too(batching: RunningServer, patient: RunningServer) -> None:
    """Whatever way they came in."""
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(patient.post, "rows:predict", {"inputs": [[1.0], [2.0]]})
        response = pool.submit(rows, patient, [[3.0], [4.0]])
        assert answer.result(timeout=100).json["outputs"]["together"] == [4, 4]
        assert list(response.result(timeout=100).outputs["together"].int_val) == [4, 4]
    given = examples([{"age": 1.5, "job": "crew"}])
    result = batching.predictions.Classify(classification("", given), timeout=100).result
    assert [one.score for one in result.classifications[0].classes] == [4.0, -4.0]


REFUSALS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "more rows than a batch": (
        predict_request("rows", {"x": np.zeros((5, 1), np.float32)}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Task size 5 is larger than maximum input batch size 4",
    ),
    "a scalar": (
        predict_request("rows", {"x": np.array(1.0, np.float32)}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() input tensors must have at least one dimension",
    ),
    "inputs of different sizes": (
        predict_request("rows", {"a": np.zeros(1, np.float32), "b": np.zeros(2, np.float32)}, signature="two"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() input tensors must have equal 0th-dimension size",
    ),
    "an output without rows": (
        predict_request("rows", {"x": np.zeros((1, 1), np.float32)}, signature="whole"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "Batched output tensor has 0 dimensions",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_batched_is_refused_in_the_official_words(batching: RunningServer, case: str) -> None:
    """Code and text."""
    request, code, text = REFUSALS[case]
    assert refusal(batching.predictions.Predict, request) == (code, text)


def test_a_queue_that_is_full_is_unavailable(batching: RunningServer) -> None:
    """Of many at once some are answered and the others told; nobody waits for ever."""

    def ask(number: int) -> str:
        try:
            return str(list(rows(batching, [[float(number)]] * 4).outputs["sum"].float_val) == [float(number)] * 4)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"

    full = (
        "UNAVAILABLE: The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
        "max_enqueued_batches is 2"
    )
    seen: set[str] = set()
    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            seen |= set(pool.map(ask, range(16)))
            if full in seen:
                break
    assert seen == {"True", full}


STARTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "a file without the flag": (
        (),
        PARAMETERS,
        "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
    ),
    "sizes that do not fit": (
        ("--enable_batching", "--max_num_load_retries=0"),
        "allowed_batch_sizes: 4",
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 1000",
    ),
}


@pytest.mark.parametrize("case", STARTS)
def test_a_server_does_not_start_with_parameters_that_cannot_be(
    program: Sequence[str], saved_models: Path, tmp_path: Path, case: str
) -> None:
    """It says why, and ends; sizes that do not fit are found when the version loads."""
    flags, text, said = STARTS[case]
    (tmp_path / "batching").write_text(text)
    command = [*program, f"--port={free_port()}", f"--model_base_path={saved_models}/rows", *flags]
    done = subprocess.run(
        [*command, f"--batching_parameters_file={tmp_path}/batching"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
