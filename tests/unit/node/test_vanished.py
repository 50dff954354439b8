"""Files of what is served vanish from the disk: it goes on being served, and no other model bears the blame.

Regression: the model server looks at no path while one is missing, so that a reload with a new model hung, and the new
model was marked FAILED.
"""

from __future__ import annotations

import shutil

import pytest

from roost.contracts.acks import VersionState
from tests.unit.node.world import Node

UA = "ua.default"
AA = "aa.default"
BOTH = {UA: ([1, 2], {"stable": 1}), AA: ([1], {"stable": 1})}


@pytest.fixture
def serving(node: Node) -> Node:
    node.put(UA, 1, 2)
    node.put(AA, 1)
    node.desire({UA: ([1], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    return node


def vanish(node: Node) -> None:
    shutil.rmtree(node.cache.base_path(AA))


def test_files_that_have_vanished_are_fetched_again_before_anything_new_is_loaded(serving: Node):
    vanish(serving)
    seen = []
    serving.desire(BOTH)
    while not serving.state.serves(UA, 1) or serving.version(UA, 2) is None or not serving.state.settled:
        seen.append(serving.step().ready)
    assert all(seen)
    assert serving.version(UA, 2).state is VersionState.PROVEN
    assert serving.cache.there((AA, 1))
    assert serving.state.restarts == 0
    assert serving.state.error is None


def test_nothing_new_is_loaded_while_they_cannot_be_fetched_and_the_node_says_so(serving: Node):
    vanish(serving)
    name = "models/aa/default/1/saved_model.pb"
    content, facts = serving.store.read(name)
    serving.store.delete(name, if_generation=facts.generation)
    serving.desire(BOTH)
    state = serving.quiet(30)
    assert "aa.default version 1 has vanished from the disk, and cannot be fetched" in state.error
    assert serving.version(UA, 2).state is VersionState.LOADING
    assert state.ready
    assert (state.serves(UA, 1), state.serves(AA, 1), state.restarts) == (True, True, 0)
    serving.store.write(name, content, if_generation=0)
    serving.quiet(70)
    assert serving.settle().error is None
    assert serving.version(UA, 2).state is VersionState.PROVEN


def test_a_reload_that_hangs_while_files_vanish_is_not_blamed_on_what_was_loading(serving: Node):
    serving.server.faults.hangs = 1
    serving.server.faults.meanwhile = lambda: vanish(serving)
    serving.desire(BOTH)
    serving.settle()
    state = serving.quiet(30)
    assert serving.version(UA, 2).state is VersionState.PROVEN
    assert (state.serves(UA, 1), state.serves(AA, 1), state.restarts) == (True, True, 1)


def test_a_version_whose_own_files_vanish_while_it_loads_is_fetched_again(serving: Node):
    serving.server.faults.hangs = 1
    serving.server.faults.meanwhile = lambda: shutil.rmtree(serving.cache.path((UA, 2)))
    serving.desire(BOTH)
    serving.quiet(30)
    assert serving.settle().restarts == 1
    assert serving.version(UA, 2).state is VersionState.PROVEN


def test_a_load_that_waits_for_vanished_files_is_not_late(serving: Node):
    serving.server.faults.never_loads.add((UA, 2))
    serving.desire(BOTH)
    serving.quiet(5)
    vanish(serving)
    serving.quiet(65)
    assert serving.version(UA, 2).state is VersionState.LOADING
    assert serving.cache.there((AA, 1))
    serving.server.come((UA, 2))
    serving.settle()
    assert serving.version(UA, 2).state is VersionState.PROVEN
