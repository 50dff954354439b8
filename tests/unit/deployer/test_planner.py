"""The planner keeps its promises for any pool and any changes."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.domain import planner
from deployer.domain.planner import Change, Flip, Isolate, Load, NotListed, Remove, RollBack, Settle, plan
from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel, DesiredState, DesiredVersion

#: A slow machine is no counter-example.
unhurried = settings(max_examples=60)
NAMES = ["aa.default", "bb.default", "cc.default", "dd.default"]


def version(number: int) -> DesiredVersion:
    return DesiredVersion(version=number, digest=f"sha256:{number:064x}", rollout_id=f"r{number}")


@st.composite
def entries(draw: st.DrawFn, name: str) -> DesiredModel:
    numbers = sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=3)))
    labels = {}
    if draw(st.booleans()):
        labels[STABLE] = draw(st.sampled_from(numbers))
        if draw(st.booleans()):
            labels[PREVIOUS] = draw(st.sampled_from(numbers))
    split = {PREVIOUS: draw(st.floats(1, 99))} if PREVIOUS in labels and draw(st.booleans()) else {}
    return DesiredModel(name=name, versions=tuple(version(one) for one in numbers), labels=labels, split=split)


@st.composite
def pools(draw: st.DrawFn) -> DesiredState:
    names = sorted(draw(st.sets(st.sampled_from(NAMES))))
    models = tuple(draw(entries(name)) for name in names)
    return DesiredState(pool="default", generation=draw(st.integers(0, 99)), models=models)


@st.composite
def possible(draw: st.DrawFn, state: DesiredState) -> Change:
    """A change that the barrier could ask for in that pool."""
    name = draw(st.sampled_from(NAMES))
    entry = state.model(name)
    listed = [one.version for one in entry.versions] if entry else []
    kinds: list[Change] = [
        Load(name=name, version=version(draw(st.integers(1, 9)))),
        Isolate(name=name, version=version(draw(st.integers(1, 9)))),
        Settle(name=name),
        Remove(name=name),
        RollBack(name=name, version=draw(st.integers(1, 9)), to=None),
    ]
    if listed:
        share = draw(st.sampled_from((0.0, 10.0)))
        kinds.append(Flip(name=name, version=draw(st.sampled_from(listed)), previous_percent=share))
        target = draw(st.sampled_from(listed))
        kinds.append(RollBack(name=name, version=draw(st.sampled_from(listed)), to=target))
    return draw(st.sampled_from(kinds))


@st.composite
def pool_and_change(draw: st.DrawFn) -> tuple[DesiredState, Change]:
    state = draw(pools())
    return state, draw(possible(state))


def applied(state: DesiredState, change: Change) -> DesiredState | None:
    """The next state; None where the change would return to the version that it takes out."""
    if isinstance(change, RollBack) and change.to == change.version:
        return None
    return plan(state, [change], "test")


@unhurried
@given(pool_and_change())
def test_other_models_are_untouched_and_the_generation_grows_by_one(drawn: tuple[DesiredState, Change]) -> None:
    state, change = drawn
    after = applied(state, change)
    if after is None or after is state:
        return
    assert after.generation == state.generation + 1
    rest = [model for model in state.models if model.name != change.name]
    assert [model for model in after.models if model.name != change.name] == rest
    assert [model.name for model in after.models] == sorted({model.name for model in after.models})
    for model in after.models:
        numbers = {one.version for one in model.versions}
        assert set(model.labels.values()) <= numbers


@unhurried
@given(pool_and_change())
def test_a_repeated_change_changes_nothing_more(drawn: tuple[DesiredState, Change]) -> None:
    state, change = drawn
    after = applied(state, change)
    if after is not None and not isinstance(change, RollBack):
        assert plan(after, [change], "again") is after


@unhurried
@given(pool_and_change())
def test_a_flip_never_drops_the_old_stable_and_a_load_moves_no_label(drawn: tuple[DesiredState, Change]) -> None:
    state, change = drawn
    before, after = state.model(change.name), applied(state, change)
    if before is None or after is None:
        return
    now = after.model(change.name)
    if isinstance(change, Flip):
        assert now is not None
        assert now.stable == change.version
        assert now.versions == before.versions
        if before.stable not in (None, change.version):
            assert now.labels[PREVIOUS] == before.stable
            assert now.split == ({PREVIOUS: change.previous_percent} if change.previous_percent else {})
    if isinstance(change, Load):
        assert now is not None
        assert now.labels == before.labels
        assert now.split == before.split
        assert set(before.versions) <= set(now.versions)


@unhurried
@given(pool_and_change())
def test_a_rolled_back_version_leaves_and_what_answered_beside_it_still_does(
    drawn: tuple[DesiredState, Change],
) -> None:
    state, change = drawn
    before, after = state.model(change.name), applied(state, change)
    if not isinstance(change, RollBack) or before is None or after is None or not before.has(change.version):
        return
    now = after.model(change.name)
    if now is None:
        assert len(before.versions) == 1 or (before.stable == change.version and change.to is None)
        return
    assert not now.has(change.version)
    assert now.stable == (change.to if before.stable == change.version else before.stable)


@unhurried
@given(pool_and_change())
def test_settling_keeps_exactly_what_answers(drawn: tuple[DesiredState, Change]) -> None:
    state, change = drawn
    entry = state.model(change.name)
    if entry is None or entry.stable is None:
        return
    settled = planner.settle(entry)
    assert settled is not None
    assert [one.version for one in settled.versions] == [entry.stable]
    assert settled.labels == {STABLE: entry.stable}


def test_settling_what_answers_nothing_changes_nothing() -> None:
    entry = DesiredModel(name="aa.default", versions=(version(1),))
    assert planner.settle(entry) is entry
    assert planner.settle(None) is None


def test_what_is_asked_and_so_already_changes_nothing() -> None:
    entry = DesiredModel(name="aa.default", versions=(version(2),), labels={STABLE: 2})
    assert planner.load(entry, "aa.default", version(2)) is entry
    assert planner.settle(entry) is entry
    assert planner.roll_back(entry, 3, 2) is entry


def test_a_flip_to_the_version_that_answers_changes_nothing() -> None:
    labels = {STABLE: 2, PREVIOUS: 1}
    entry = DesiredModel(name="aa.default", versions=(version(1), version(2)), labels=labels, split={PREVIOUS: 10})
    assert planner.flip(entry, "aa.default", 2) is entry


def test_what_is_not_listed_cannot_answer() -> None:
    with pytest.raises(NotListed, match=r"aa.default cannot answer with version 4"):
        planner.flip(None, "aa.default", 4)
    entry = DesiredModel(name="aa.default", versions=(version(2),), labels={STABLE: 2})
    with pytest.raises(NotListed, match=r"aa.default cannot return to version 1"):
        planner.roll_back(entry, 2, 1)


def test_a_rollback_of_the_only_listed_version_ends_the_name() -> None:
    entry = DesiredModel(name="aa.default", versions=(version(2),))
    assert planner.roll_back(entry, 2, 1) is None


def test_a_pool_can_be_settled_in_one_plan_with_a_promotion_of_another_name() -> None:
    state = DesiredState(pool="default", generation=3, models=())
    changes = [Load(name=name, version=version(1)) for name in reversed(NAMES)]
    after = plan(state, changes, "many")
    assert [model.name for model in after.models] == NAMES
    assert after.generation == 4
    assert after.reason == "many"


def test_the_work_of_planning_grows_no_faster_than_the_models() -> None:
    one = version(1)

    def calls(models: int) -> int:
        """Of functions, Python's own among them: time would say more of the machine."""
        state = DesiredState(
            pool="default",
            generation=1,
            models=tuple(
                DesiredModel.model_construct(name=f"c{index:06d}.default", versions=(one,), labels={STABLE: 1})
                for index in range(models)
            ),
        )
        changes = [Load(name=model.name, version=version(2)) for model in state.models[::10]]
        counted = 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal counted
            counted += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            plan(state, changes, "wave")
        finally:
            sys.setprofile(None)
        return counted

    assert calls(10_000) < 12 * calls(1_000)
