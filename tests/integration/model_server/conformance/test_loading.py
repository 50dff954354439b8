"""Loads and unloads: availability, failures, retries, threads, warm-up, and the start."""

import threading

import grpc
import pytest

from tests.integration.model_server.bases import Bases, specific
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import FAST, RunningServer, config, eventually, reload_request

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

AVAILABLE, END = "AVAILABLE", "END"


def test_a_new_version_replaces_the_old_one_without_a_gap(server: RunningServer, bases: Bases) -> None:
    """While it loads and flips, every request is answered, by the one or the other."""
    name = bases.name("m")
    bases.place(name, 1)
    server.reload(bases.config(name))
    seen: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(server.scale(name))

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    bases.place(name, 2)
    eventually(lambda: server.states(name) == {2: AVAILABLE, 1: END}, "flip to version 2")
    stop.set()
    for thread in asking:
        thread.join()
    assert set(seen) == {1.0, 2.0}


def test_a_newest_version_that_fails_leaves_the_old_one_serving_and_is_not_tried_again(
    server: RunningServer, bases: Bases
) -> None:
    """Of several that nobody wants any more, only the highest is kept that long."""
    name = bases.name("m")
    bases.place(name, 1, 2)
    server.reload(bases.config(name, m=specific(1, 2)))
    eventually(lambda: server.states(name) == {2: AVAILABLE, 1: AVAILABLE}, "both")
    bases.spoil(name, 3)
    server.reload(bases.config(name, m=specific(3)))
    eventually(lambda: server.states(name) == {3: END, 2: AVAILABLE, 1: END}, "version 3 failed, 1 unloaded")
    (bases.path(name) / "3").rmdir()
    bases.place(name, 3)
    bases.place(bases.name("other"), 1)
    server.reload(bases.config(name, bases.name("other"), m=specific(3)))
    assert server.states(name) == {3: END, 2: AVAILABLE, 1: END}
    assert server.scale(name) == 2


@pytest.mark.parametrize("damage", ["cut", "garbage", "no checkpoint data"])
def test_a_damaged_model_fails_its_load_and_nothing_else(server: RunningServer, bases: Bases, damage: str) -> None:
    """Whatever it is that is damaged."""
    name, good = bases.name("m"), bases.name("good")
    directory = bases.copy(name, 1)
    bases.place(good, 3)
    graph = directory / "saved_model.pb"
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[:1000])
    elif damage == "garbage":
        graph.write_bytes(b"\xff" * 100)
    else:
        (directory / "variables" / "variables.data-00000-of-00001").unlink()
    code, details = server.refuses(bases.config(name, good))
    assert code is grpc.StatusCode.UNKNOWN
    assert details.startswith(f"1 model(s) did not become available: {{{{{{name: {name} version: 1}} due to error: ")
    assert server.scale(good) == 3


def test_one_bad_model_blocks_the_rest_through_its_retries_where_no_thread_is_for_loads(
    start: Start, bases: Bases
) -> None:
    """`--num_load_threads=0`; the retries end as soon as the version is no longer wanted."""
    bad, good = bases.name("a-bad"), bases.name("good")
    bases.spoil(bad, 1)
    bases.place(good, 1)
    server = start("--num_load_threads=0", "--load_retry_interval_micros=4000000", models="model_config_list {}")
    waiting = server.models.HandleReloadConfigRequest.future(reload_request(bases.config(bad)), timeout=60)
    eventually(lambda: server.states(bad) == {1: "LOADING"}, "the bad one loads")
    (bases.path(good) / "1").rename(bases.root / "kept")
    also = server.models.HandleReloadConfigRequest.future(reload_request(bases.config(bad, good)), timeout=60)
    (bases.path(bad) / "1").rmdir()
    (bases.root / "kept").rename(bases.path(good) / "1")
    with pytest.raises(grpc.RpcError) as error:
        waiting.result()
    assert error.value.code() is grpc.StatusCode.UNKNOWN
    also.result()
    assert server.scale(good) == 1


def test_a_load_is_tried_again_so_often_and_so_soon_as_the_flags_say(start: Start, bases: Bases) -> None:
    """Then it fails for good; a load that comes right meanwhile succeeds."""
    bad, late = bases.name("bad"), bases.name("late")
    bases.spoil(bad, 1)
    bases.spoil(late, 1)
    server = start(
        "--num_load_threads=2",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=2000000",
        models="model_config_list {}",
    )
    waiting = server.models.HandleReloadConfigRequest.future(reload_request(bases.config(bad, late)), timeout=60)
    eventually(lambda: server.states(late) == {1: "LOADING"}, "a first try")
    (bases.path(late) / "1").rmdir()
    bases.place(late, 1)
    with pytest.raises(grpc.RpcError, match=r"1 model\(s\) did not become available"):
        waiting.result()
    assert server.scale(late) == 1
    log = server.log.read_text()
    what = f"Loading servable: {{name: {bad} version: 1}}"
    assert [log.count(f"Retrying of {what} retry: {number}") for number in (1, 2, 3)] == [1, 1, 0]


def test_warm_up_that_fails_fails_the_load_and_can_be_switched_off(
    server: RunningServer, start: Start, bases: Bases
) -> None:
    """A warm-up request for a signature that is not there ends the version in error."""
    name = bases.name("cold")
    text = config({name: bases.saved_models / "cold"})
    code, details = server.refuses(text)
    assert code is grpc.StatusCode.UNKNOWN
    assert 'Serving signature key "no_such_signature" not found.' in details
    assert start(*FAST, "--enable_model_warmup=false", models=text).scale(name) == 1


def test_a_damaged_warm_up_file_fails_the_load(server: RunningServer, bases: Bases) -> None:
    """In TensorFlow's words, and the official server's advice."""
    name = bases.name("m")
    extra = bases.copy(name, 1) / "assets.extra"
    extra.mkdir()
    (extra / "tf_serving_warmup_requests").write_bytes(b"no record, but long enough")
    _, details = server.refuses(bases.config(name))
    assert (
        "due to error: DATA_LOSS: corrupted record at 0 (Is this even a TFRecord file?). "
        "Please verify your warmup data is in TFRecord format."
    ) in details


def test_one_bad_model_ends_the_start_and_a_missing_path_hangs_it_until_it_is_there(start: Start, bases: Bases) -> None:
    """So a restart with one bad entry is an outage, which is why configs are tried on one node first."""
    bad, good, late = bases.name("bad"), bases.name("good"), bases.name("late")
    bases.spoil(bad, 1)
    bases.place(good, 1)
    failing = start(*FAST, models=bases.config(bad, good), ready=False)
    hanging = start(*FAST, models=bases.config(late, good), ready=False)
    assert failing.process.wait(timeout=60) == 255
    assert (
        "Failed to start server. Error: UNKNOWN: 1 model(s) did not become available: "
        f"{{{{{{name: {bad} version: 1}} due to error: NOT_FOUND: "
    ) in failing.log.read_text()
    eventually(lambda: f"Could not find base path {bases.path(late)}" in hanging.log.read_text(), "it hangs")
    assert not hanging.open()
    assert hanging.process.poll() is None
    bases.place(late, 2)
    assert hanging.wait_until_ready().scale(late) == 2
