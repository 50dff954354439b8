"""Children that crash, hang or outlive their node; models that do not come; a store that goes away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from roost.contracts.acks import VersionState
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.world import RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

ONE = {"ua.default": ([1], {"stable": 1})}
BOTH = {"ua.default": ([1, 2], {"stable": 2, "previous": 1})}


def serving(shelf: Shelf, node: RunningNode) -> None:
    shelf.put("ua.default", 1, "one")
    shelf.put("ua.default", 2, "two")
    shelf.desire(ONE)
    node.start()
    node.await_ready()


def test_a_child_that_crashes_or_hangs_is_replaced(shelf: Shelf, make_node: Callable[..., RunningNode]):
    node = make_node(ROOST_SERVING__RELOAD_DEADLINE_SECONDS="8")
    serving(shelf, node)
    crashed = node.state().model_server_pid
    os.kill(crashed, signal.SIGKILL)
    eventually(lambda: node.state().restarts == 1, "it is not left without a server")
    node.await_ready()
    assert node.answer("ua.default") == 1.0
    envoy = next(child for child in psutil.Process(node.process.pid).children() if child.name() == "envoy")
    envoy.kill()
    gone = 'roost_node_child_restarts_total{cause="crashed",child="gateway"}'
    eventually(lambda: node.metric(gone) == 1, "nor without a gateway")
    node.await_ready()
    assert node.answer("ua.default") == 1.0
    hung = node.state().model_server_pid
    assert hung != crashed
    os.kill(hung, signal.SIGSTOP)
    state = node.settle(shelf.desire({"ua.default": ([1], {"stable": 1, "previous": 1})}))
    node.await_ready()
    assert state.restarts == 2
    assert state.model_server_pid not in {crashed, hung}
    assert node.answer("ua.default") == 1.0


def test_killing_the_node_leaves_no_child_behind_and_the_next_one_converges(
    shelf: Shelf, make_node: Callable[..., RunningNode]
):
    node = make_node()
    serving(shelf, node)
    children = psutil.Process(node.process.pid).children(recursive=True)
    assert {"envoy"} <= {child.name() for child in children}
    assert len(children) == 2
    node.kill()
    eventually(lambda: not any(child.is_running() for child in children), "no child is left")
    shelf.desire(BOTH)
    node.start()
    node.await_ready()
    assert node.state().serves("ua.default", 2)
    assert node.answer("ua.default") == 2.0


def test_bad_models_are_named_and_hold_up_no_other(shelf: Shelf, make_node: Callable[..., RunningNode]):
    def garble(directory: Path) -> None:
        (directory / "saved_model.pb").write_bytes(b"this is no SavedModel")

    node = make_node()
    serving(shelf, node)
    shelf.put("aa.default", 1, "nan")
    shelf.put("mq.default", 1, "one", change=garble)
    shelf.put("oo.default", 1, "one")
    content, facts = shelf.store.read("models/oo/default/1/saved_model.pb")
    shelf.store.write("models/oo/default/1/saved_model.pb", content[:-9], if_generation=facts.generation)
    stable = ([1], {"stable": 1})
    state = node.settle(shelf.desire(BOTH | {"aa.default": stable, "mq.default": stable, "oo.default": stable}))
    assert state.serves("ua.default", 2)
    assert not state.converged
    assert state.ready
    failed = {name: state.model(name).state_of(1) for name in ("aa.default", "mq.default", "oo.default")}
    assert {entry.state for entry in failed.values()} == {VersionState.FAILED}
    assert failed["aa.default"].error == "output y of aa.default version 1 is not finite"
    assert failed["mq.default"].error
    assert "models/oo/default/1/saved_model.pb" in failed["oo.default"].error
    assert node.answer("ua.default") == 2.0
    # The bad ones are not in the server's list any more.
    config = node.root / "good.json"
    eventually(lambda: '"version":2' in config.read_text(), "what is good is kept")
    assert "aa.default" not in config.read_text()


def test_a_store_that_is_down_stops_nothing(shelf: Shelf, gcs: StoreProcess, make_node: Callable[..., RunningNode]):
    node = make_node()
    serving(shelf, node)
    gcs.stop()
    eventually(lambda: "object store is down" in (node.state().error or ""), "the outage is shown")
    assert node.ready()
    assert node.answer("ua.default") == 1.0
    gcs.start()
    node.settle(shelf.desire(BOTH), nudge=False)
    assert node.answer("ua.default") == 2.0
    assert node.state().error is None


def test_a_restart_gives_a_fresh_model_server(shelf: Shelf, make_node: Callable[..., RunningNode]):
    node = make_node()
    serving(shelf, node)
    before = node.state().model_server_pid
    node.control.restart(node.address, deadline=60)
    eventually(lambda: '"action": "drain"' in node.log, "it drains")
    eventually(lambda: node.state().restarts == 1, "it has a fresh server")
    node.await_ready()
    after = node.state()
    assert after.model_server_pid != before
    assert after.serves("ua.default", 1)
    assert node.answer("ua.default") == 1.0
    assert node.rest("ua.default") == 1.0
    children = psutil.Process(node.process.pid).children(recursive=True)
    assert node.stop() == 0
    assert not any(child.is_running() for child in children)
