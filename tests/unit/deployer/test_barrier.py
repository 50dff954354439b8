"""The barrier's judgements, where the whole way does not show them."""

from __future__ import annotations

from deployer.domain import barrier, planner
from deployer.domain.barrier import Fails, NodeView, PoolView, Waits, Wants
from deployer.domain.planner import Load, RollBack
from roost.contracts.acks import NodeModel, NodeVersion, VersionState
from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel
from roost.contracts.rollout import Phase
from tests.unit.deployer.test_planner import version
from tests.unit.deployer.test_transitions import rollout

NAME = "ua.default"


def node(name: str, *versions: NodeVersion, stable: int | None = None) -> NodeView:
    labels = {} if stable is None else {STABLE: stable}
    models = {NAME: NodeModel(name=NAME, versions=versions, labels=labels)}
    return NodeView(node=name, generation=5, settled=True, models=models)


def at(number: int, state: VersionState = VersionState.PROVEN, error: str | None = None) -> NodeVersion:
    return NodeVersion(version=number, state=state, error=error)


def pool(numbers: list[int], labels: dict[str, int], *nodes: NodeView) -> PoolView:
    entry = DesiredModel(name=NAME, versions=tuple(version(one) for one in numbers), labels=labels)
    return PoolView(generation=5, entries={NAME: entry}, nodes=nodes)


def taken_back(view: PoolView) -> barrier.Judgement:
    return barrier.rolling_back(rollout(Phase.ROLLING_BACK), view, version(2))


def test_the_previous_version_answers_again_without_waiting_for_anybody() -> None:
    view = pool([2, 3], {STABLE: 3, PREVIOUS: 2})
    assert taken_back(view) == Wants(change=RollBack(name=NAME, version=3, to=2))


def test_a_version_that_was_unloaded_is_loaded_proved_and_only_then_answers() -> None:
    assert taken_back(pool([3], {STABLE: 3})) == Wants(change=Load(name=NAME, version=version(2)))
    loading = node("a", at(2, VersionState.LOADING), at(3), stable=3)
    assert taken_back(pool([2, 3], {STABLE: 3}, loading)) == Waits(reason="a must load version 2 again.")
    assert taken_back(pool([2, 3], {STABLE: 3})) == Waits(reason="A node must load version 2 again.")
    ready = node("a", at(2), at(3), stable=3)
    assert taken_back(pool([2, 3], {STABLE: 3}, ready)) == Wants(change=RollBack(name=NAME, version=3, to=2))
    failed = node("a", at(2, VersionState.FAILED, "gone"), at(3), stable=3)
    assert isinstance(taken_back(pool([2, 3], {STABLE: 3}, failed)), Fails)


def test_a_rollback_of_what_no_label_names_leaves_the_rest_unlabelled() -> None:
    entry = DesiredModel(name=NAME, versions=(version(2), version(3)))
    after = planner.roll_back(entry, 3, 2)
    assert after is not None
    assert (after.stable, [one.version for one in after.versions]) == (None, [2])


def test_a_node_without_a_reason_is_said_to_have_given_none() -> None:
    failed = node("a", at(3, VersionState.FAILED))
    found = barrier.promotion(rollout(Phase.PROMOTING), pool([3], {}, failed))
    assert found == Fails(reason="Node a could not load version 3: no reason given")


def test_a_bake_waits_for_nodes_that_still_hold_the_previous_version() -> None:
    slow = node("a", at(2), at(3), stable=3)
    found = barrier.bake(rollout(Phase.LIVE), pool([3], {STABLE: 3}, slow, node("b", at(3), stable=3)))
    assert found == Waits(reason="a must unload what came before.")


def test_a_node_that_serves_another_version_must_take_it_back() -> None:
    behind = node("a", at(3), stable=3)
    assert taken_back(pool([2], {STABLE: 2}, behind)) == Waits(reason="a must take it back.")
