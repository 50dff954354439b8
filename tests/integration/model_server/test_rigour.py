"""What the drop-in server does better than the official one, and the switches that take it away."""

import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from tests.integration.model_server.bases import Bases, specific
from tests.integration.model_server.conftest import Start
from tests.integration.model_server.running import (
    DROP_IN,
    FAST,
    RunningServer,
    eventually,
    predict_request,
    reload_request,
    starting,
)

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

EMPTY = "model_config_list {}"


@pytest.fixture(scope="module")
def rigorous() -> Iterator[RunningServer]:
    """A server with every hazard."""
    with starting(DROP_IN) as begin:
        yield begin(*FAST, "--rigour=all", models=EMPTY)


def test_an_unknown_switch_ends_the_start(start: Start) -> None:
    """With the list of those that there are."""
    server = start("--rigour=everything", models=EMPTY, ready=False)
    assert server.process.wait(timeout=60) == 255
    assert "--rigour: there is no everything; there are manager_tick, poll_on_interval" in server.log.read_text()


def test_a_reload_looks_at_the_disk_at_once_but_for_its_switch(start: Start, bases: Bases) -> None:
    """By default a version begins to load with its reload; with `poll_on_interval` a new name hangs until the poll."""
    name, later = bases.name("m"), bases.name("later")
    bases.place(name, 1, 2)
    bases.place(later, 1)
    flags = (*FAST[:2], "--file_system_poll_wait_seconds=3600")
    quick, slow = (
        start(*flags, *more, models=bases.config(name, m=specific(1))) for more in ((), ("--rigour=poll_on_interval",))
    )
    for server in (quick, slow):
        server.reload(bases.config(name, m=specific(1, 2)))
    eventually(lambda: quick.states(name).get(2) == "AVAILABLE", "version 2")
    assert slow.states(name) == {1: "AVAILABLE"}
    quick.reload(bases.config(name, later))
    assert slow.refuses(bases.config(name, later), timeout=1.0)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_with_its_tick_the_manager_begins_ten_loads_a_second(rigorous: RunningServer, bases: Bases) -> None:
    """Whatever the number of threads; those that wait are told as START."""
    names = [bases.name(f"tick{number}") for number in range(30)]
    for name in names:
        bases.place(name, 1)
    rigorous.reload(EMPTY)
    began = time.monotonic()
    call = rigorous.models.HandleReloadConfigRequest.future(reload_request(bases.config(*names)), timeout=60)
    # The last by its name is the last to load: to ask for all of them may take as long as to load them.
    eventually(lambda: rigorous.states(max(names)) == {1: "START"}, "it waits for its turn")
    call.result()
    assert time.monotonic() - began > 0.1 * (len(names) - 1)
    assert rigorous.scale(names[-1]) == 1


@pytest.mark.parametrize("switched", [False, True])
def test_a_name_that_comes_back_while_it_unloads_fails_its_reload_with_its_switch(
    start: Start, bases: Bases, switched: bool
) -> None:
    """The end of its earlier life is taken for its own; by default it is not.

    A request in use of the old version holds its unload up until the new list is there. With every switch on, this
    came to pass by chance, and in one of some thirty runs a poll found the name again before the manager had acted:
    then nothing is unloaded or loaded, and the reload waits for ever, as it does officially.
    """
    name = bases.name("m")
    bases.place(name, 1, model="slow")
    text = bases.config(name)
    server = start(*FAST, *(["--rigour=ended_is_failure"] if switched else []), models=text)
    request = predict_request(name, {"x": np.array([200_000.0], np.float32)})
    while True:
        asked = server.predictions.Predict.future(request, timeout=200)
        server.reload(EMPTY)
        if server.states(name) == {1: "UNLOADING"}:
            break
        asked.exception()
        eventually(lambda: server.states(name) == {1: "END"}, "its earlier life is over")
        server.reload(text)
    if switched:
        assert server.refuses(text) == (
            grpc.StatusCode.UNKNOWN,
            f"1 model(s) did not become available: {{{{{{name: {name} version: 1}}}}, }}",
        )
    else:
        server.reload(text)
    assert asked.exception() is None
    eventually(lambda: server.states(name) == {1: "AVAILABLE"}, "it is loaded all the same")


@pytest.mark.parametrize("switched", [False, True])
def test_a_reload_that_nobody_waits_for_any_more_is_dropped_but_for_its_switch(
    start: Start, bases: Bases, switched: bool
) -> None:
    """With it, an old list is applied late, over what was wanted meanwhile."""
    late, abandoned = bases.name("late"), bases.name("abandoned")
    bases.place(abandoned, 1)
    server = start(*FAST, *(["--rigour=abandoned_reloads"] if switched else []), models=EMPTY)
    for name in (late, abandoned):
        assert server.refuses(bases.config(name), timeout=1.5)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    bases.place(late, 1)
    if switched:
        eventually(lambda: server.states(abandoned) == {1: "AVAILABLE"}, "the abandoned list is applied")
        eventually(lambda: server.states(late) == {1: "END"}, "and the other one is not any more")
    else:
        eventually(lambda: server.states(late) == {1: "AVAILABLE"}, "the first list is applied")
        server.reload(bases.config(late))
        assert server.states(abandoned) == {}


def test_reloads_that_pile_up_behind_a_hung_one_leave_threads_for_predictions(start: Start, bases: Bases) -> None:
    """A client that tries again and again holds a thread for each try only as long as it waits."""
    name, late = bases.name("m"), bases.name("late")
    bases.place(name, 3)
    server = start(*FAST, "--grpc_max_threads=3", models=bases.config(name))
    for _ in range(4):
        assert server.refuses(bases.config(name, late), timeout=0.5)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.predict(name, {"x": np.ones(1, np.float32)}).outputs["y"].float_val == [3.0]


def test_without_a_drain_sigterm_ends_the_process_at_once(start: Start) -> None:
    """As it does the official server; its socket stays behind."""
    server = start(*FAST, "--rigour=no_drain", models=EMPTY)
    server.process.terminate()
    assert server.process.wait(timeout=60) == 143
    assert server.socket_path.exists()
