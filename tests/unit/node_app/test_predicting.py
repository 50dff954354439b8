"""Who answers a request, by which version and manifest, and what the answer says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from roost.contracts.acks import VersionState
from roost.contracts.errors import ModelServerUnavailable, Permanent
from roost.contracts.manifest import InputSpec, OutputSpec
from roost.contracts.policy import Policy
from roost.ports.serving import Tensors
from serving.gateway.shares import label_for
from serving.node.app.catalogue import Wanted
from serving.node.app.forms import PredictionAnswer
from serving.node.app.predicting import Asked, parsed
from serving.node.app.refusing import Refused
from tests.unit.node_app.world import INPUTS, World, a_manifest, a_row


def ask(world: World, customer: str = "ua", *, rows: list[object] | None = None, **chosen: Any) -> PredictionAnswer:
    request = parsed(json.dumps({"rows": [a_row()] if rows is None else rows}).encode())
    wanted = Wanted(customer=customer, model="default", **chosen)
    return world.service.answer(Asked(wanted=wanted, request=request), "r-1")


def refusal(world: World, customer: str = "ua", **request: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(world, customer, **request)
    return caught.value


def test_an_answer_says_who_gave_it_and_labels_it_by_the_declared_threshold(world: World) -> None:
    answer = ask(world, rows=[a_row(hour=17), a_row(hour=12)])

    assert answer.request_id == "r-1"
    assert answer.model.model_dump() == {
        "name": "ua.default",
        "version": 3,
        "label": "stable",
        "own": True,
        "cohort": None,
        "trained_on": "own",
    }
    assert [prediction.outputs for prediction in answer.predictions] == [
        {"probability": 0.7083333},
        {"probability": 0.5},
    ]
    assert [prediction.labels["probability"] for prediction in answer.predictions] == ["late", "on time"]
    assert not answer.warnings
    assert world.asked[0][2] is None


def test_a_model_trained_on_a_cohort_says_so_and_is_still_the_customers_own(world: World) -> None:
    world.serve("oo.default", 1, a_manifest("oo.default", scope="cohort"))

    answer = ask(world, "oo")

    assert (answer.model.own, answer.model.trained_on) == (True, "cohort")


@pytest.mark.parametrize(
    ("outputs", "values", "expected"),
    [
        (OutputSpec(name="p", labels=("a", "b")), [0.5], "b"),
        (OutputSpec(name="p", labels=("a", "b"), threshold=0.7), [0.7], "b"),
        (OutputSpec(name="p", labels=("a", "b"), threshold=0.7), [0.69], "a"),
        (OutputSpec(name="p", labels=("a", "b")), [math.nan], None),
        (OutputSpec(name="p", labels=("a", "b", "c")), [[0.1, 0.6, 0.3]], "b"),
        (OutputSpec(name="p", labels=("a", "b", "c"), threshold=0.7), [[0.1, 0.6, 0.3]], None),
        (OutputSpec(name="p", labels=("a", "b", "c")), [[0.1, math.inf, 0.3]], None),
        (OutputSpec(name="p", labels=("a", "b", "c")), [0.1], None),
    ],
)
def test_labels_follow_their_rule(
    world: World, outputs: OutputSpec, values: list[object], expected: str | None
) -> None:
    world.serve("ua.default", 3, a_manifest(outputs=(outputs,)))
    world.respond = lambda _: {"p": np.array(values, np.float32)}

    assert ask(world).predictions[0].labels == {"p": expected}


def test_an_answer_that_is_no_number_is_null_with_a_warning(world: World) -> None:
    world.respond = lambda _: {
        "probability": np.array([0.1, math.nan], np.float32),
        "note": np.array([b"x", b"\xff"], object),
    }

    answer = ask(world, rows=[a_row(), a_row()])

    assert [prediction.outputs["probability"] for prediction in answer.predictions] == [0.1, None]
    assert [prediction.outputs["note"] for prediction in answer.predictions] == ["x", {"b64": "/w=="}]
    assert [(warning.row, warning.field, warning.kind.value) for warning in answer.warnings] == [
        (1, "probability", "output")
    ]


@pytest.mark.parametrize("shape", [(1, 2), ()])
def test_an_answer_that_is_not_one_a_row_is_refused(world: World, shape: tuple[int, ...]) -> None:
    world.respond = lambda _: {"probability": np.zeros(shape, np.float32)}

    assert refusal(world, rows=[a_row(), a_row()]).status == 422


KEYS = [f"user-{number}".encode() for number in range(40)]


def shared_out(world: World, name: str = "ua.default") -> None:
    """A quarter of the requests stays with the version before."""
    world.serve(name, 2, a_manifest(name), stable=False)
    world.serve(name, 3, a_manifest(name))
    world.labels[name]["previous"] = 2
    world.splits[name] = {"previous": 25}


def test_requests_that_choose_nothing_are_shared_out_by_their_key_as_the_gateway_does(world: World) -> None:
    shared_out(world)
    sides = {key: label_for("ua.default", key, {"previous": 25}, otherwise="stable") for key in KEYS}

    answers = {key: ask(world, key=key).model for key in KEYS}

    assert {key: answer.label for key, answer in answers.items()} == sides
    assert {(answer.label, answer.version) for answer in answers.values()} == {("stable", 3), ("previous", 2)}
    assert [asked[2] for asked in world.asked] == [2 if sides[key] == "previous" else None for key in KEYS]
    assert len(world.recorded) == list(sides.values()).count("stable")


def test_who_names_stable_or_has_no_key_is_not_shared_out(world: World) -> None:
    shared_out(world)

    assert {ask(world, key=key, label="stable").model.version for key in KEYS} == {3}
    assert ask(world).model.version == 3


def test_a_share_waits_until_the_model_server_has_its_label(world: World) -> None:
    shared_out(world)
    del world.labels["ua.default"]["previous"]

    assert {ask(world, key=key).model.version for key in KEYS} == {3}


def test_the_default_of_a_cohort_is_shared_out_by_its_own_name() -> None:
    world = World(Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}}))
    shared_out(world, "everyone.default")

    answers = {key: ask(world, "new", key=key).model for key in KEYS}

    assert {(answer.cohort, answer.name) for answer in answers.values()} == {("everyone", "everyone.default")}
    assert {key: answer.label for key, answer in answers.items()} == {
        key: label_for("everyone.default", key, {"previous": 25}, otherwise="stable") for key in KEYS
    }


def test_a_request_is_checked_and_read_by_the_manifest_of_the_version_that_answers_it(world: World) -> None:
    """The label moves in the model server first, and in what the node says of itself a moment later."""
    other = (*INPUTS[:3], InputSpec(name="temp", dtype="DT_FLOAT", shape=(-1,), maximum=50, bounds="enforce"))
    labels = (OutputSpec(name="probability", labels=("no", "yes"), threshold=0.1),)
    world.serve("ua.default", 4, a_manifest(inputs=other, outputs=labels), stable=False)
    world.labels_of_server = {"ua.default": {"stable": 4}}

    assert "version 4 cannot take the rows: row 0: temp is 60.5" in str(refusal(world))
    answer = ask(world, rows=[a_row(temp=20)])

    assert answer.model.version == 4
    assert answer.predictions[0].labels == {"probability": "yes"}
    assert world.asked[-1][2] == 4


def test_a_refusal_by_the_version_before_a_flip_does_not_count(world: World) -> None:
    def respond(_: Tensors) -> Tensors:
        if world.labels["ua.default"]["stable"] == 3:
            world.serve("ua.default", 4)
            raise Permanent("the version before has just gone")
        return {"probability": np.array([0.1], np.float32)}

    world.respond = respond

    assert ask(world).model.version == 4


def test_a_refusal_by_the_model_server_is_passed_on(world: World) -> None:
    world.trouble = Permanent("input must be 4-dimensional")

    refused = refusal(world)

    assert refused.status == 400
    assert "ua.default version 3 refuses the rows: input must be 4-dimensional" in str(refused)


def test_a_model_server_that_is_away_is_503(world: World) -> None:
    world.trouble = ModelServerUnavailable("gone")
    assert refusal(world).status == 503
    world.trouble = None
    assert ask(world).model.version == 3


def test_while_the_model_server_is_replaced_no_default_steps_in() -> None:
    world = World(Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}}))
    world.serve("everyone.default", 1)
    world.serve("ua.default", 3, stable=False)
    world.desired_only = {"ua.default"}
    world.states["ua.default", 3] = VersionState.LOADING
    world.trouble = ModelServerUnavailable("starting")

    assert refusal(world).status == 503
    assert [name for name, _, _ in world.asked] == ["ua.default"]


def test_a_version_that_has_left_the_disk_is_503(world: World) -> None:
    state, desired = world.state(), world.desired()
    world.state, world.desired = (lambda: state), (lambda: desired)  # type: ignore[method-assign]  # not said yet
    world.rewired()
    del world.manifests["ua.default", 3]

    assert refusal(world).status == 503


def test_without_an_own_model_the_default_of_the_cohort_answers_and_says_so() -> None:
    policy = {
        "rules": {"predictions": {"cohort_default": "everyone"}},
        "cohorts": {"small": {"customers": ["oo"], "rules": {"predictions": {"cohort_default": "small-ones"}}}},
        "customers": {"vip": {"predictions": {"cohort_default": None}}},
    }
    world = World(Policy.model_validate(policy))
    world.serve("everyone.default", 7)
    world.serve("small-ones.default", 2)
    world.serve("ua.default", 3)

    assert ask(world, "ua").model.own
    new, small = ask(world, "new-customer").model, ask(world, "oo").model
    assert (new.own, new.cohort, new.name, new.version) == (False, "everyone", "everyone.default", 7)
    assert (small.own, small.cohort, small.version) == (False, "small-ones", 2)
    assert ask(world, "everyone").model.own
    refused = refusal(world, "vip")
    assert refused.status == 404
    assert "vip.default has no model here, and the policy names no default of a cohort" in str(refused)


def test_a_first_version_that_loads_leaves_the_default_answering() -> None:
    world = World(Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}}))
    world.serve("everyone.default", 7)
    world.serve("ua.default", 1, stable=False)

    assert ask(world, "ua").model.cohort == "everyone"
    # Proved, desired to be stable, and not labelled yet.
    world.desired_only = {"ua.default"}
    assert ask(world, "ua").model.cohort == "everyone"
    world.labels["ua.default"] = {"stable": 1}
    assert ask(world, "ua").model.own


def test_without_any_default_the_refusal_says_what_is_missing(world: World) -> None:
    assert "new.default has no model here, and the policy names no default" in str(refusal(world, "new"))
    world.serve("dl.default", 1, stable=False)
    assert "dl.default has no version that is stable yet" in str(refusal(world, "dl"))
    lost = World(Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}}))
    assert "neither has the default of the cohort, everyone" in str(refusal(lost, "new"))


@pytest.mark.parametrize(
    ("chosen", "version", "label"),
    [({"version": 2}, 2, None), ({"label": "previous"}, 2, "previous"), ({"label": "stable"}, 3, "stable")],
)
def test_a_request_may_choose_a_version_or_a_label(chosen: dict[str, object], version: int, label: str | None) -> None:
    world = World()
    world.serve("ua.default", 2)
    world.serve("ua.default", 3)
    world.labels["ua.default"]["previous"] = 2

    answer = ask(world, **chosen)

    assert (answer.model.version, answer.model.label) == (version, label)


@pytest.mark.parametrize(
    ("chosen", "words"), [({"version": 9}, "has no version 9 here"), ({"label": "canary"}, "has no label canary here")]
)
def test_a_choice_that_is_not_there_is_never_answered_by_another(chosen: dict[str, object], words: str) -> None:
    world = World(Policy.model_validate({"rules": {"predictions": {"cohort_default": "everyone"}}}))
    world.serve("everyone.default", 9)
    world.serve("ua.default", 3)

    for customer in ("ua", "new"):
        refused = refusal(world, customer, **chosen)
        assert (refused.status, words in str(refused)) == (404, True)


def test_more_rows_than_the_policy_takes_are_refused_before_they_are_looked_at() -> None:
    world = World(Policy.model_validate({"rules": {"predictions": {"max_rows": 2}}}))
    world.serve("ua.default", 3)

    refused = refusal(world, rows=[a_row(), a_row(), {}])

    assert (refused.status, str(refused)) == (422, "rows holds 3 rows, and 2 are taken at a time")
    assert ask(world, rows=[a_row(), a_row()]).model.version == 3


def test_only_what_the_stable_version_answered_is_offered_for_recording(world: World) -> None:
    refusal(world, rows=[{}])
    ask(world, version=3)
    assert not world.recorded
    ask(world)
    wanted, served, inputs = world.recorded[0]
    assert (wanted.customer, wanted.model, served.version) == ("ua", "default", 3)
    assert inputs["origin"].tolist() == [b"EWR"]
