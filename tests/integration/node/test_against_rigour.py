"""A node whose model server has every hazard of the official one: slow ticks, polls that stall, reloads that hang."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.contracts.acks import VersionState
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ONE = {"ua.default": ([1], {"stable": 1})}
TWO = {"ua.default": ([1, 2], {"stable": 2, "previous": 1})}


#: In which a reload that hangs is given up; long enough for one that does not, on a busy machine.
HANGING = 8.0


@pytest.fixture
def rigorous_node(make_node: Callable[..., RunningNode], tmp_path: Path) -> RunningNode:
    """A node whose model server's program is the drop-in one with all its switches."""
    return a_rigorous_node(make_node, tmp_path, 60.0)


def a_rigorous_node(make_node: Callable[..., RunningNode], directory: Path, reload_deadline: float) -> RunningNode:
    program = rigorous_program(directory)
    return make_node(
        ROOST_SERVING__MODEL_SERVER=str(program), ROOST_SERVING__RELOAD_DEADLINE_SECONDS=f"{reload_deadline:g}"
    )


def rigorous_program(directory: Path) -> Path:
    """That program. While there is a file `blind` beside it, a server looks at the disk only once, at its start."""
    program, blind = directory / "rigorous-model-server", directory / "blind"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ -e {blind} ]; then rm {blind}; set -- "$@" --file_system_poll_wait_seconds=0; fi\n'
        f'exec {sys.executable} -m serving.model_server --rigour=all "$@"\n'
    )
    program.chmod(0o755)
    return program


def serving(shelf: Shelf, node: RunningNode) -> None:
    shelf.put("ua.default", 1, "one")
    shelf.put("ua.default", 2, "two")
    shelf.put("aa.default", 1, "three")
    shelf.put("aa.default", 2, "three")
    shelf.desire(ONE)
    node.start()
    node.await_ready()


def test_a_new_version_of_a_known_name_is_proved_only_when_it_is_really_loaded(
    shelf: Shelf, rigorous_node: RunningNode
):
    def garble(directory: Path) -> None:
        (directory / "saved_model.pb").write_bytes(b"this is no SavedModel")

    node = rigorous_node
    serving(shelf, node)
    shelf.put("ua.default", 3, "three", change=garble)
    # The reload says OK at once, for both: the one loads up to a second later, the other never.
    state = node.settle(shelf.desire(TWO))
    assert state.serves("ua.default", 2)
    assert (node.answer("ua.default", 2), node.answer("ua.default")) == (2.0, 2.0)
    state = node.settle(shelf.desire({"ua.default": ([2, 3], {"stable": 2, "previous": 2})}))
    assert not state.converged
    assert state.model("ua.default").state_of(3).state is VersionState.FAILED
    assert node.answer("ua.default") == 2.0
    assert state.restarts == 0


def test_a_missing_path_is_mended_before_a_reload_could_hang_on_it(shelf: Shelf, rigorous_node: RunningNode):
    node = rigorous_node
    serving(shelf, node)
    before = node.state().model_server_pid
    # What serves by this path goes on; but no look of the server's at the disk gets past it.
    shutil.rmtree(node.root / "cache" / "ua.default")
    state = node.settle(shelf.desire(ONE | {"aa.default": ([1], {"stable": 1})}))
    assert state.serves("ua.default", 1)
    assert state.serves("aa.default", 1)
    assert (state.model_server_pid, state.restarts, state.error) == (before, 0, None)
    assert (node.answer("ua.default"), node.answer("aa.default")) == (1.0, 3.0)


@pytest.mark.long
def test_a_reload_that_hangs_while_a_path_is_missing_leads_to_one_replacement_and_blames_nobody_else(
    shelf: Shelf, make_node: Callable[..., RunningNode], tmp_path: Path
):
    node = a_rigorous_node(make_node, tmp_path, HANGING)
    serving(shelf, node)
    (tmp_path / "blind").touch()
    os.kill(node.state().model_server_pid, signal.SIGKILL)
    eventually(lambda: node.state().restarts == 1 and node.ready(), "a server that looks only once serves")
    log = node.root / "logs" / "model-server.log"
    node.control.nudge(node.address, shelf.desire(ONE | {"aa.default": ([1], {"stable": 1})}), deadline=60)
    eventually(lambda: "(Re-)adding model: aa.default" in log.read_text(), "the reload is under way")
    shutil.rmtree(node.root / "cache" / "ua.default")
    eventually(lambda: _settled(node) and node.state().restarts == 2, "a fresh server has both")
    node.await_ready()
    state = node.state()
    assert state.serves("ua.default", 1)
    assert state.serves("aa.default", 1)
    assert (node.answer("ua.default"), node.answer("aa.default")) == (1.0, 3.0)


def _settled(node: RunningNode) -> bool:
    state = node.state()
    return state.settled and state.serves("ua.default", 1) and state.serves("aa.default", 1)


def test_one_bad_model_in_the_boot_config_does_not_take_the_node_down(shelf: Shelf, rigorous_node: RunningNode):
    node = rigorous_node
    serving(shelf, node)
    node.settle(shelf.desire(ONE | {"aa.default": ([1], {"stable": 1})}))
    (node.root / "cache" / "aa.default" / "1" / "saved_model.pb").write_bytes(b"rotten")
    # A start with it in the file ends with exit code 255, whatever else is in it.
    os.kill(node.state().model_server_pid, signal.SIGKILL)
    eventually(lambda: node.state().restarts == 1, "it is not left without a server")
    node.await_ready()
    assert node.answer("ua.default") == 1.0
    eventually(lambda: node.state().settled, "it is told what became of the bad one")
    state = node.state()
    assert state.serves("ua.default", 1)
    assert state.serves("aa.default", 1) or state.model("aa.default").state_of(1).state is VersionState.FAILED
