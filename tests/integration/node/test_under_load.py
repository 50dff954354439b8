"""Nobody who asks for predictions notices a change: of another model never, of their own never where it is promised.

Each test asks without a pause while it changes something, and then counts what failed. Directly at one node's gateway,
where nobody asks again for a client; behind the front, where a node itself comes and goes.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roost.adapters.gcs import open_store
from roost.contracts.desired import LoadingOrder
from roost.settings import StorageSettings
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.fleet import Fleet, Load, fixed_ports, fronted
from tests.integration.node.world import RunningNode, Shelf, eventually
from tests.parts import free_port

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

UA, AA, DL = "ua.default", "aa.default", "dl.default"
STABLE_1 = ([1], {"stable": 1})
BOTH = {UA: STABLE_1, AA: STABLE_1}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, tiny_model_files: Path) -> Iterator[Fleet]:
    """Two nodes behind a front that serve UA and AA at version 1."""
    root = tmp_path_factory.mktemp("fleet")
    store, bucket = StoreProcess(root, free_port()), f"roost-{uuid.uuid4().hex[:8]}"
    store.start()
    shelf = Shelf(open_store(StorageSettings(endpoint=store.endpoint, bucket=bucket)), tiny_model_files)
    for name in (UA, AA, DL):
        for version, kind in ((1, "one"), (2, "two"), (3, "three")):
            shelf.put(name, version, kind)
    shelf.desire(BOTH)
    nodes = [RunningNode(root, store.endpoint, bucket, name=f"node-{number}") for number in (1, 2)]
    ports = {node.name: fixed_ports() for node in nodes}
    for node in nodes:
        node.start(*ports[node.name])
    for node in nodes:
        node.await_ready()
    with fronted(root, nodes) as front:
        yield Fleet(shelf=shelf, nodes=nodes, ports=ports, front=front)
    for node in nodes:
        node.stop()
        node.control.close()
        node.predictor.close()
    store.stop()


@pytest.fixture(autouse=True)
def as_it_was(fleet: Fleet) -> None:
    """Each test begins with version 1 of both."""
    fleet.settle(fleet.shelf.desire(BOTH))


def test_a_new_model_disturbs_no_other(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(node.address, [UA, AA]) as load:
        # What loads are paced by is what the real gateway measured of these very requests.
        quiet = 'roost_node_neighbour_p99_seconds{when="quiet"}'
        eventually(lambda: node.metric(quiet) > 0, "the node knows how fast its models answer")
        fleet.settle(fleet.shelf.desire({**BOTH, DL: STABLE_1}))
        assert node.answer(DL) == 1.0
        load.more()
    assert load.failures == {UA: [], AA: []}


def test_new_versions_flips_and_rollbacks_fail_no_request_of_their_own_model_either(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(node.address, [UA, AA]) as load:
        for versions, stable in [([1, 2], 1), ([1, 2], 2), ([2], 2), ([2, 3], 3), ([2, 3], 2), ([3], 3), ([1], 1)]:
            fleet.settle(fleet.shelf.desire({UA: (versions, {"stable": stable}), AA: STABLE_1}))
            load.until_answered_by(UA, stable)
    assert load.failures == {UA: [], AA: []}
    assert {1.0, 2.0, 3.0} <= set(load.answers[UA])
    assert set(load.answers[AA]) == {1.0}


def test_a_model_that_goes_takes_no_other_with_it(fleet: Fleet):
    fleet.settle(fleet.shelf.desire({**BOTH, DL: STABLE_1}))
    node = fleet.nodes[0]
    with Load(node.address, [UA, AA, DL]) as load:
        fleet.settle(fleet.shelf.desire(BOTH))
        eventually(lambda: bool(load.failures[DL]), "the model that went answers no more")
        load.more(names=[UA, AA])
    assert load.failures[UA] == load.failures[AA] == []
    assert all("label: stable" in said or "Servable not found" in said for _, said in load.failures[DL]), load.failures


def test_where_a_pool_unloads_first_only_the_model_that_changes_is_away(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(node.address, [UA, AA]) as load:
        swapped = {UA: ([2], {"stable": 2}), AA: STABLE_1}
        fleet.settle(fleet.shelf.desire(swapped, loading=LoadingOrder.UNLOAD_FIRST))
        load.until_answered_by(UA, 2)
        away = len(load.failures[UA])  # what the order costs; between two requests of a quick load perhaps nothing
        load.more()
    assert load.failures[AA] == []
    assert set(load.answers[AA]) == {1.0}
    assert len(load.failures[UA]) == away  # none since it is back
    refusals = ("Unrecognized servable version label: stable", "Servable not found for request")
    assert all(any(each in said for each in refusals) for _, said in load.failures[UA]), load.failures[UA]
    first, last = load.answers[UA].index(2.0), len(load.answers[UA])
    assert set(load.answers[UA][:first]) == {1.0}
    assert set(load.answers[UA][first:last]) == {2.0}


def test_a_model_server_that_is_killed_costs_no_request(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(fleet.front, [UA, AA]) as load:
        before = node.state().model_server_pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        eventually(lambda: node.state().model_server_pid not in {None, before}, "it is replaced")
        node.await_ready()
        load.more()
    assert load.failures == {UA: [], AA: []}


def test_a_gateway_that_is_killed_costs_no_request(fleet: Fleet):
    node = fleet.nodes[0]
    crashes = 'roost_node_child_restarts_total{cause="crashed",child="gateway"}'
    before = node.metric(crashes)
    with Load(fleet.front, [UA, AA]) as load:
        assert node.process is not None
        gateway = next(child for child in psutil.Process(node.process.pid).children() if child.name() == "envoy")
        gateway.kill()
        eventually(lambda: node.metric(crashes) == before + 1, "it is missed")
        node.await_ready()
        load.more()
    assert load.failures == {UA: [], AA: []}


def test_a_node_that_is_drained_is_asked_nothing_costs_no_request_and_comes_back(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(fleet.front, [UA, AA]) as load:

        def asked() -> int:
            """How much that node answered while the load went on."""
            before = node.answered(UA)
            load.more(10)
            return node.answered(UA) - before

        eventually(lambda: asked() > 0, "both nodes answer")
        node.post("/drain")
        eventually(lambda: asked() == 0, "the drained one is left alone")
        assert not node.ready()
        node.post("/undrain")
        eventually(lambda: asked() > 0, "it is asked again")
        assert node.ready()
    assert load.failures == {UA: [], AA: []}


def test_a_node_that_restarts_costs_no_request(fleet: Fleet):
    node = fleet.nodes[0]
    with Load(fleet.front, [UA, AA]) as load:
        assert node.stop() == 0
        load.more(20)
        node.start(*fleet.ports[node.name])
        node.await_ready()
        load.more()
    assert load.failures == {UA: [], AA: []}
    assert node.answer(UA) == 1.0
