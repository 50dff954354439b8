"""The memory-debt meter on real model servers that really load and unload, and what a rolling restart makes of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployer.restart.choice import why
from deployer.restart.rolling import Fleet, Order, RollingRestart
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.node_control import HttpNodeControl
from roost.contracts.acks import NodeChange
from roost.contracts.events import OperationReported
from roost.contracts.policy import RestartPolicy
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress
from tests.integration.node.tiny_models import BALLAST_BYTES
from tests.integration.node.world import TOKEN, RunningNode, Shelf, eventually

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA, AA = "ua.default", "aa.default"
MIB = 2**20
LIGHT = {AA: ([1], {"stable": 1})}
#: Two heavy versions have come and gone: a server that keeps one of them is past it.
POLICY = RestartPolicy(leaked_mb=BALLAST_BYTES / MIB / 2)


class Pool(HttpNodeControl):
    """The nodes as a restart sees them. Notes who else was ready when a node was told to restart."""

    def __init__(self, nodes: Sequence[RunningNode]) -> None:
        super().__init__(SecretStr(TOKEN))
        self._nodes = nodes
        self.others: list[tuple[str, list[str]]] = []

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        return [node.address for node in self._nodes if node.address.pool == pool]

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        ready = [each.name for each in self._nodes if each.name != node.node and each.ready()]
        self.others.append((node.node, ready))
        super().restart(node, deadline=deadline)


def served_twice(shelf: Shelf, nodes: Sequence[RunningNode]) -> None:
    """Start the nodes, have them load two heavy versions after one another, and unload both."""
    shelf.put(AA, 1, "one")
    for version in (1, 2):
        shelf.put(UA, version, "heavy")
    shelf.desire(LIGHT)
    for node in nodes:
        node.start()
    for node in nodes:
        node.await_ready()
    for wanted in ({UA: ([1], {"stable": 1})}, {UA: ([2], {"stable": 2})}, {}):
        generation = shelf.desire({**LIGHT, **wanted})
        for node in nodes:
            grown = node.settle(generation)
            assert not wanted or grown.models_bytes > BALLAST_BYTES
    eventually(lambda: all(len(told(node, "unloaded")) == 2 for node in nodes), "both unloads are told")


def told(node: RunningNode, what: str) -> list[NodeChange]:
    """What it says of UA."""
    return [change for change in node.changes() if change.what == what and change.name == UA]


def test_what_a_model_took_is_measured_and_a_server_that_gives_it_back_owes_nothing(
    shelf: Shelf, make_node: Callable[..., RunningNode]
):
    node = make_node()
    served_twice(shelf, [node])
    for one in told(node, "proven"):
        assert 0.9 * BALLAST_BYTES < one.memory_bytes < 3 * BALLAST_BYTES
        assert one.seconds > 0
    state = node.state()
    given_back = sum(one.memory_before_bytes - one.memory_after_bytes for one in told(node, "unloaded"))
    owed = sum(one.memory_bytes for one in told(node, "proven"))
    assert state.leaked_bytes == pytest.approx(max(0, owed - given_back), abs=16 * MIB)
    assert node.metric("roost_node_leaked_bytes") == pytest.approx(state.leaked_bytes, abs=8 * MIB)
    assert why(state, state.generation, POLICY, always=False) is None, state


@pytest.mark.long
def test_servers_that_keep_what_they_unloaded_are_restarted_one_node_at_a_time_until_nothing_is_owed(
    shelf: Shelf, make_node: Callable[..., RunningNode], tmp_path: Path
):
    leaking = {"ROOST_SERVING__MODEL_SERVER": str(leaking_program(tmp_path))}
    nodes = [make_node(name=name, **leaking) for name in ("node-1", "node-2")]
    served_twice(shelf, nodes)
    for node in nodes:
        state = node.state()
        # All of both versions, and nothing that predictions took.
        assert 2 * 0.9 * BALLAST_BYTES < state.leaked_bytes < 2 * 1.5 * BALLAST_BYTES
        assert node.metric("roost_node_leaked_bytes") == pytest.approx(state.leaked_bytes, abs=8 * MIB)
        assert state.converged
        assert "no reload gives them back" in str(why(state, state.generation, POLICY, always=False))

    clock, pool = SystemClock(), Pool(nodes)
    ledger = InMemoryLedger(clock)
    fleet = Fleet(pool="default", directory=pool, control=pool, store=shelf.store)
    order = Order(reason="scheduled", always=False, policy=POLICY, node_seconds=200)
    restarting = RollingRestart(fleet, ledger, clock)
    try:
        assert restarting.run(order, threading.Event()) == ("node-1", "node-2")

        assert pool.others == [("node-1", ["node-2"]), ("node-2", ["node-1"])]
        for node in nodes:
            state = node.state()
            assert (state.restarts, state.ready) == (1, True)
            assert state.leaked_bytes < 8 * MIB
            assert node.answer(AA) == 1.0
        assert restarting.run(order, threading.Event()) == ()
    finally:
        pool.close()
    reports = [row.event.data for row in ledger.recent_events(limit=10)]
    assert {one.what for one in reports if isinstance(one, OperationReported)} == {
        "restart.started",
        "restart.finished",
    }


def leaking_program(directory: Path) -> Path:
    """The drop-in model server as one that keeps what it unloads."""
    program = directory / "leaking-model-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m serving.model_server --rigour=kept_memory "$@"\n')
    program.chmod(0o755)
    return program
