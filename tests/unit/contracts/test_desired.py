"""A desired state can only name what every node can serve."""

import pytest
from pydantic import ValidationError

from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel, DesiredState, DesiredVersion

DIGEST = "sha256:" + "0" * 64


def version(number: int) -> DesiredVersion:
    return DesiredVersion(version=number, digest=DIGEST, rollout_id="r")


def model(name: str, *numbers: int, **labels: int) -> DesiredModel:
    return DesiredModel(name=name, versions=tuple(version(number) for number in numbers), labels=labels)


def test_a_state_survives_its_own_bytes() -> None:
    state = DesiredState(pool="default", generation=3, models=(model("ua.default", 1, 2, stable=1),), reason="load")
    assert DesiredState.decoded(state.encoded()) == state


def test_models_are_found_by_name() -> None:
    state = DesiredState(pool="default", generation=1, models=(model("dl.a", 1), model("ua.a", 2)))
    found = state.model("ua.a")
    assert found is not None
    assert found.has(2)
    assert not found.has(1)
    assert found.prefix(2) == "models/ua/a/2/"
    assert state.model("oo.a") is None


def test_stable_is_none_until_something_answers() -> None:
    assert model("ua.a", 1).stable is None
    assert model("ua.a", 1, 2, **{STABLE: 2, PREVIOUS: 1}).stable == 2


def test_an_empty_pool_serves_nothing_at_generation_nought() -> None:
    assert DesiredState.empty("default") == DesiredState(pool="default", generation=0)


@pytest.mark.parametrize(
    ("numbers", "labels"), [((2, 1), {}), ((1, 1), {}), ((), {}), ((1,), {"stable": 2}), ((0,), {}), ((-1,), {})]
)
def test_versions_are_ascending_and_labels_name_listed_ones(numbers: tuple[int, ...], labels: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        model("ua.a", *numbers, **labels)


@pytest.mark.parametrize(
    ("labels", "split"),
    [
        ({"stable": 1}, {"previous": 10}),
        ({"stable": 1, "previous": 2}, {"stable": 10}),
        ({"previous": 2}, {"previous": 10}),
        ({"stable": 1, "previous": 2}, {"previous": 0}),
        ({"stable": 1, "previous": 2, "other": 2}, {"previous": 60, "other": 41}),
    ],
)
def test_a_split_names_labels_beside_stable_and_leaves_it_the_rest(
    labels: dict[str, int], split: dict[str, float]
) -> None:
    with pytest.raises(ValidationError, match="split"):
        DesiredModel(name="ua.a", versions=(version(1), version(2)), labels=labels, split=split)


def test_a_split_is_only_written_where_there_is_one() -> None:
    """Nodes of before it refuse fields that they do not know."""
    plain = model("ua.a", 1, 2, stable=2, previous=1)
    shared = plain.model_copy(update={"split": {"previous": 12.5}})
    state = DesiredState(pool="default", generation=1, models=(plain,))
    assert b"split" not in state.encoded()
    assert DesiredState.decoded(state.encoded()) == state
    state = DesiredState(pool="default", generation=1, models=(shared,))
    assert DesiredState.decoded(state.encoded()) == state


@pytest.mark.parametrize("names", [("ua.a", "dl.a"), ("ua.a", "ua.a")])
def test_models_are_sorted_and_listed_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="sorted by name and listed once"):
        DesiredState(pool="default", generation=1, models=tuple(model(name, 1) for name in names))


def test_a_served_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(Exception, match="is not valid"):
        model("../etc", 1)
