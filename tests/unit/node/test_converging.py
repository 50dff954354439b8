"""From a desired state to labels that answer, on in-memory parts."""

from __future__ import annotations

from pathlib import Path

from roost.contracts.acks import VersionState
from tests.unit.node.world import GOLDEN, Node

UA = "ua.default"
AA = "aa.default"


def test_a_pool_that_desires_nothing_makes_a_ready_node(node: Node):
    node.look()
    assert node.settle().converged
    assert node.state.generation == 0


def test_a_node_is_not_ready_before_it_serves(node: Node):
    node.put(UA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.engine.step()
    assert not node.state.ready
    assert not node.gateway.running
    assert node.settle().serves(UA, 1)
    assert node.gateway.running


def test_a_new_version_is_loaded_while_the_old_one_answers(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: ([1, 2], {"stable": 1})})
    state = node.settle()
    assert node.version(UA, 2).state is VersionState.PROVEN
    assert state.serves(UA, 1)
    assert node.server.loaded == {(UA, 1), (UA, 2)}


def test_a_flip_is_one_reload(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: ([1, 2], {"stable": 1})})
    before = node.settle()
    reloads = len(node.server.given)
    node.clock.advance(5)
    node.desire({UA: ([1, 2], {"stable": 2, "previous": 1})})
    node.engine.step()
    assert node.state.settled
    assert node.state.serves(UA, 2)
    assert node.labels(UA) == {"stable": 2, "previous": 1}
    assert len(node.server.given) == reloads + 1
    assert node.state.model(UA).flipped_at > before.model(UA).flipped_at


def test_the_old_version_leaves_only_after_the_flip(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    assert (UA, 1) in node.server.loaded  # requests that resolved the label just before still find it
    node.quiet(2)
    assert node.server.loaded == {(UA, 2)}
    flipped = next(i for i, given in enumerate(node.server.given) if given and given[0].labels.get("stable") == 2)
    removed = next(i for i, given in enumerate(node.server.given) if given and given[0].versions == (2,))
    assert flipped < removed
    assert [entry.version for entry in node.state.model(UA).versions] == [2]


def test_a_model_that_fails_to_load_holds_up_no_other(node: Node):
    node.put(UA, 1, 2)
    node.put(AA, 1, 2)
    node.desire({UA: ([1], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.load_errors[UA, 2] = "no such op"
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1, 2], {"stable": 2})})
    state = node.settle()
    assert state.serves(AA, 2)
    assert not state.converged
    assert node.version(UA, 2).state is VersionState.FAILED
    assert node.version(UA, 2).error == "no such op"
    assert state.serves(UA, 1)
    assert state.ready


def test_what_answers_stays_where_its_successor_fails(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.load_errors[UA, 2] = "no such op"
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    state = node.quiet()
    assert state.serves(UA, 1)
    assert (UA, 1) in node.server.loaded
    node.restart()
    node.look()
    assert node.settle().serves(UA, 1)


def test_a_version_that_never_comes_fails_at_its_deadline(node: Node):
    """Regression: a reload says OK for a known name at once, loaded or not."""
    node.put(UA, 1, 2)
    node.put(AA, 1)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.never_loads.add((UA, 2))
    node.desire({UA: ([1, 2], {"stable": 2}), AA: ([1], {"stable": 1})})
    node.quiet(5)
    assert node.state.serves(AA, 1)  # not held up
    assert not node.state.settled
    node.clock.advance(60)
    node.settle()
    assert "not available after 60 s" in node.version(UA, 2).error
    assert node.state.serves(UA, 1)


def test_an_answer_that_is_not_finite_proves_nothing(node: Node):
    node.put(UA, 1)
    node.server.faults.answers[UA, 1] = float("nan")
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    assert node.version(UA, 1).error == "output y of ua.default version 1 is not finite"
    assert node.labels(UA) == {}


def test_a_canary_node_leaves_judging_answers_to_the_checks(tmp_path: Path):
    node = Node(tmp_path, canary=True)
    node.put(UA, 1)
    node.server.faults.answers[UA, 1] = float("nan")
    node.desire({UA: ([1], {"stable": 1})})
    assert node.settle().serves(UA, 1)


def test_an_artifact_without_a_golden_case_cannot_be_proved(node: Node):
    node.put(UA, 1, golden=None)
    node.put(AA, 1, golden=GOLDEN.replace(b'"x"', b'"z"'))
    node.desire({UA: ([1], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    assert "has no usable roost/golden.jsonl" in node.version(UA, 1).error
    assert "gives z, which serving_default does not take" in node.version(AA, 1).error


def test_a_refused_prediction_fails_the_version_with_the_servers_words(node: Node):
    node.put(UA, 1)
    node.server.faults.refuses[UA, 1] = 'Serving signature key "serving_default" not found.'
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    assert node.version(UA, 1).error == 'Serving signature key "serving_default" not found.'


def test_a_label_counts_only_when_a_prediction_by_label_confirms_it(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1, 2], {"stable": 1})})
    node.settle()
    node.server.faults.ignores_labels = True
    node.desire({UA: ([1, 2], {"stable": 2})})
    node.quiet(3)
    assert "does not answer by its label" in node.version(UA, 2).error
    assert node.labels(UA) == {"stable": 1}


def test_a_version_that_the_server_lost_is_loaded_again(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1, 2], {"stable": 1})})
    node.settle()
    node.server.lose((UA, 2))
    node.desire({UA: ([1, 2], {"stable": 2})})
    assert node.settle().serves(UA, 2)


def test_a_served_name_that_is_no_longer_desired_goes(node: Node):
    node.put(UA, 1)
    node.put(AA, 1)
    node.desire({UA: ([1], {"stable": 1}), AA: ([1], {"stable": 1})})
    node.settle()
    node.desire({AA: ([1], {"stable": 1})})
    node.settle()
    assert node.server.loaded == {(AA, 1)}
    assert [model.name for model in node.state.models] == [AA]


def test_a_failed_version_comes_when_it_is_desired_anew(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.load_errors[UA, 2] = "out of memory"
    node.desire({UA: ([1, 2], {"stable": 1})})
    node.settle()
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.server.faults.load_errors.clear()
    node.desire({UA: ([1, 2], {"stable": 2})})
    assert node.settle().serves(UA, 2)


def test_changes_tell_what_moved_and_why(node: Node):
    node.put(UA, 1, 2)
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    node.desire({UA: ([2], {"stable": 2})})
    node.settle()
    node.quiet(2)
    told = [(change.what, change.version, change.rollout_id) for change in node.engine.journal.since(after=1)]
    assert told == [
        ("generation taken up", None, None),
        ("proven", 2, "rollout-2"),
        ("stable moved", 2, "rollout-2"),
        ("unloaded", 1, "rollout-1"),
    ]


def test_memory_of_a_version_is_the_servers_growth(node: Node):
    node.put(UA, 1)
    node.desire({})
    node.settle()
    node.desire({UA: ([1], {"stable": 1})})
    node.settle()
    assert node.version(UA, 1).memory_bytes == 10_000_000
    assert node.state.leaked_bytes == 0
