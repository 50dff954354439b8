"""A pool whose memory does not hold two versions of a model: the old one leaves before the new one loads."""

from __future__ import annotations

import pytest

from roost.contracts.acks import VersionState
from roost.contracts.desired import DesiredState, LoadingOrder
from tests.unit.node.world import Node

UA, AA = "ua.default", "aa.default"
FIRST = LoadingOrder.UNLOAD_FIRST


def swapping(node: Node) -> None:
    """Version 1 answers, and version 2 shall take its place."""
    node.put(UA, 1, 2)
    node.put(AA, 1)
    node.desire({UA: ([1], {"stable": 1}), AA: ([1], {"stable": 1})}, loading=FIRST)
    node.settle()
    node.server.given.clear()


def swap(node: Node) -> None:
    node.desire({UA: ([2], {"stable": 2}), AA: ([1], {"stable": 1})}, loading=FIRST)


def given(node: Node, name: str) -> list[tuple[int, ...]]:
    """The versions of a name in each list that the server was given."""
    return [next((entry.versions for entry in each if entry.name == name), ()) for each in node.server.given]


def test_the_old_version_leaves_before_the_new_one_loads_and_no_other_model_notices(node: Node):
    swapping(node)
    swap(node)
    assert node.settle().serves(UA, 2)
    assert given(node, UA) == [(1,), (), (2,), (2,)]  # without its label, gone, loaded, labelled
    assert set(given(node, AA)) == {(1,)}
    node.quiet(3)
    assert [held.version for held in node.state.model(UA).versions] == [2]
    assert node.state.converged
    told = [(change.what, change.version) for change in node.engine.journal.since(after=1, name=UA)]
    assert told == [("generation taken up", None), ("unloaded", 1), ("proven", 2), ("stable moved", 2)]


def test_the_old_version_answers_until_the_new_one_is_on_disk(node: Node):
    swapping(node)
    swap(node)  # read; its files are not
    node.store.outage = "503"
    node.quiet(20)
    assert node.state.serves(UA, 1)
    assert (UA, 1) in node.server.loaded
    node.store.outage = None
    assert node.quiet(60).serves(UA, 2)


def test_the_new_version_waits_until_the_old_one_has_really_gone(node: Node):
    swapping(node)
    node.server.faults.never_leaves.add((UA, 1))
    swap(node)
    node.quiet(10)
    assert (2,) not in given(node, UA)
    assert not node.state.settled
    node.server.lose((UA, 1))  # it has ended at last
    assert node.settle().serves(UA, 2)


@pytest.mark.parametrize("fault", ["fails to load", "answers nonsense", "kills the server"])
def test_what_made_room_comes_back_where_its_successor_fails(node: Node, fault: str):
    swapping(node)
    if fault == "fails to load":
        node.server.faults.load_errors[UA, 2] = "no such op"
    elif fault == "answers nonsense":
        node.server.faults.answers[UA, 2] = float("nan")
    else:
        node.server.faults.crashes_on.add((UA, 2))
    swap(node)
    state = node.settle()
    node.quiet(3)
    assert state.serves(UA, 1)
    assert state.serves(AA, 1)
    assert node.version(UA, 2).state is VersionState.FAILED
    assert not state.converged
    node.restart()
    node.look()
    assert node.settle().serves(UA, 1)


def test_a_node_that_ends_between_the_two_comes_up_with_one_of_them(node: Node):
    swapping(node)
    node.server.faults.never_loads.add((UA, 2))
    swap(node)
    node.quiet(3)
    assert node.server.loaded == {(AA, 1)}
    node.restart()
    node.look()
    node.server.faults.never_loads.clear()
    assert node.settle().serves(UA, 2)
    assert node.server.loaded == {(AA, 1), (UA, 2)}


def test_a_name_that_is_not_served_any_more_leaves_no_fallback(node: Node):
    swapping(node)
    node.server.faults.never_loads.add((UA, 2))
    swap(node)
    node.quiet(3)
    node.desire({AA: ([1], {"stable": 1})}, loading=FIRST)
    node.settle()
    node.quiet(3)
    assert [model.name for model in node.state.models] == [AA]


def test_two_listed_versions_are_both_loaded(node: Node):
    swapping(node)
    node.desire({UA: ([1, 2], {"stable": 1}), AA: ([1], {"stable": 1})}, loading=FIRST)
    node.settle()
    assert {(UA, 1), (UA, 2)} <= node.server.loaded


def test_nodes_of_before_meet_the_order_only_where_it_is_used():
    usual = DesiredState(pool="default", generation=1)
    other = usual.model_copy(update={"loading": FIRST})
    assert b"loading" not in usual.encoded()
    assert DesiredState.decoded(other.encoded()).loading is FIRST
    assert DesiredState.decoded(usual.encoded()) == usual
