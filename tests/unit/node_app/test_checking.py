"""What a request's rows may be: every fault by row and field, all at once, and nothing else refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.contracts.manifest import InputSpec, OutputSpec
from serving.node.app.checking import Checked, RowChecker, TakesNoRows, declared
from serving.node.app.findings import LIMIT
from tests.unit.node_app.world import INPUTS, a_manifest, a_row

CHECKER = RowChecker(INPUTS)


def found(checked: Checked) -> list[tuple[int | None, str | None, str]]:
    return [(problem.row, problem.field, problem.kind.value) for problem in checked.problems.problems]


def test_sound_rows_become_tensors_of_the_declared_types() -> None:
    checked = CHECKER.check([a_row(), a_row(origin="JFK", distance=200, hour=0, temp=None)])

    assert not checked.problems
    assert not checked.warnings
    assert checked.inputs["origin"].tolist() == [b"EWR", b"JFK"]
    assert (checked.inputs["distance"].dtype, checked.inputs["distance"].tolist()) == (np.float32, [1400.0, 200.0])
    assert (checked.inputs["hour"].dtype, checked.inputs["hour"].tolist()) == (np.int64, [17, 0])
    assert np.array_equal(checked.inputs["temp"], np.array([60.5, np.nan], np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"distance": "far"}, ("distance", "type", 'distance is "far", where a number is needed')),
        ({"distance": True}, ("distance", "type", "distance is true, where a number is needed")),
        ({"distance": [1.0]}, ("distance", "type", "distance is a list of 1, where a number is needed")),
        ({"distance": {}}, ("distance", "type", "distance is an object, where a number is needed")),
        ({"distance": 1e39}, ("distance", "type", "distance is 1e+39, which does not fit float")),
        ({"distance": 10**400}, ("distance", "type", "which does not fit float")),
        ({"distance": math.nan}, ("distance", "nan", "distance is no finite number")),
        ({"distance": math.inf}, ("distance", "nan", "distance is no finite number")),
        ({"distance": None}, ("distance", "missing", "distance is missing")),
        ({"hour": 1.5}, ("hour", "type", "hour is 1.5, where a whole number is needed")),
        ({"hour": True}, ("hour", "type", "hour is true, where a whole number is needed")),
        ({"hour": 2**63}, ("hour", "type", "which does not fit int64")),
        ({"hour": 24}, ("hour", "range", "hour is 24, outside 0 to 23")),
        ({"origin": 7}, ("origin", "type", "origin is 7, where a text is needed")),
        ({"origin": "\ud800"}, ("origin", "type", "half of a surrogate pair")),
        ({"origin": {"b64": "%%"}}, ("origin", "type", "origin is not base64")),
        ({"temp": -math.inf}, ("temp", "nan", "temp is infinite")),
        ({"extra": 1}, ("extra", "unknown", "extra is no input of this model: it takes distance, hour, origin, temp")),
    ],
)
def test_a_bad_value_is_named_by_row_and_field(row: dict[str, object], expected: tuple[str, str, str]) -> None:
    checked = CHECKER.check([a_row(), a_row(), a_row(), a_row(**row)])

    assert found(checked) == [(3, expected[0], expected[1])]
    assert checked.problems.problems[0].message.startswith("row 3: ")
    assert expected[2] in checked.problems.problems[0].message
    assert not CHECKER.check([a_row()]).problems


def test_all_that_is_wrong_is_said_at_once() -> None:
    rows = [a_row(distance="far", hour=99), [1, 2], a_row(distance=math.nan), {"origin": "EWR"}, None]

    assert found(CHECKER.check(rows)) == [
        (0, "distance", "type"),
        (0, "hour", "range"),
        (1, None, "row"),
        (2, "distance", "nan"),
        (3, "distance", "missing"),
        (3, "hour", "missing"),
        (4, None, "row"),
    ]


def test_the_list_of_problems_is_bounded_and_says_so() -> None:
    checked = CHECKER.check([a_row(distance="far")] * (LIMIT + 1))

    assert len(checked.problems.problems) == LIMIT
    assert checked.problems.more


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"distance": 5001}, "distance is 5001, outside 0 to 5000"),
        ({"distance": -1.5}, "distance is -1.5, outside 0 to 5000"),
        ({"origin": "XYZ"}, 'origin is "XYZ", which is none of the 3 texts that are declared'),
    ],
)
def test_what_is_only_unusual_is_answered_with_a_warning(row: dict[str, object], words: str) -> None:
    checked = CHECKER.check([a_row(), a_row(**row)])

    assert not checked.problems
    assert [warning.row for warning in checked.warnings.problems] == [1]
    assert words in checked.warnings.problems[0].message


def test_an_artifact_without_declarations_is_checked_by_its_signature() -> None:
    checker = RowChecker(declared(a_manifest(declares=False)))

    assert not checker.check([a_row(origin="XYZ", hour=99, distance=1e6)]).warnings
    assert found(checker.check([a_row(temp=None)])) == [(0, "temp", "missing")]
    assert found(checker.check([a_row(temp=math.nan)])) == [(0, "temp", "nan")]
    assert found(checker.check([a_row(hour="x", more=1)])) == [(0, "more", "unknown"), (0, "hour", "type")]


VECTOR = InputSpec(name="usage", dtype="DT_FLOAT", shape=(-1, 3))
FREE = InputSpec(name="usage", dtype="DT_FLOAT", shape=(-1, -1))
ONE = InputSpec(name="usage", dtype="DT_FLOAT", shape=(-1, 1))
MATRIX = InputSpec(name="usage", dtype="DT_STRING", shape=(-1, 2, 2))


@pytest.mark.parametrize(
    ("spec", "rows", "shape"),
    [
        (VECTOR, [[1, 2, 3], [4, 5, 6]], (2, 3)),
        (FREE, [[1, 2], [3, 4]], (2, 2)),
        (ONE, [1, 2, [3]], (3, 1)),
        (MATRIX, [[["a", "b"], ["c", "d"]]], (1, 2, 2)),
        (InputSpec(name="usage", dtype="DT_BOOL", shape=(-1,)), [True, False], (2,)),
        (InputSpec(name="usage", dtype="DT_DOUBLE", shape=None), [1, 2.5], (2,)),
        (InputSpec(name="usage", dtype="DT_UINT8", shape=(-1,)), [0, 255, 7.0], (3,)),
    ],
)
def test_tensors_have_the_declared_shape(spec: InputSpec, rows: list[object], shape: tuple[int, ...]) -> None:
    checked = RowChecker((spec,)).check([{"usage": row} for row in rows])

    assert not checked.problems
    assert checked.inputs["usage"].shape == shape


@pytest.mark.parametrize(
    ("spec", "rows", "expected"),
    [
        (VECTOR, [[1, 2, 3], [1, 2]], (1, "shape", "is a list of 2, where a list of 3 is needed")),
        (VECTOR, [[1, 2, 3], 7], (1, "shape", "is 7, where a list of 3 is needed")),
        (VECTOR, [[1, 2, "x"]], (0, "type", 'is "x", where a number is needed')),
        (VECTOR, [[1, 2, [3]]], (0, "type", "is a list of 1, where a number is needed")),
        (FREE, [[1, 2], [3]], (1, "shape", "has 1 values, where the rows before have 2")),
        (MATRIX, [[["a", "b"]]], (0, "shape", "is a list of 1, where a list of 2 is needed")),
        (InputSpec(name="usage", dtype="DT_BOOL", shape=(-1,)), [1], (0, "type", "is 1, where true or false is")),
        (InputSpec(name="usage", dtype="DT_UINT8", shape=(-1,)), [-1], (0, "type", "does not fit uint8")),
        (InputSpec(name="usage", dtype="DT_VARIANT", shape=(-1,)), [1], (0, "type", "a value of type variant")),
    ],
)
def test_a_wrong_shape_is_named(spec: InputSpec, rows: list[object], expected: tuple[int, str, str]) -> None:
    checked = RowChecker((spec,)).check([{"usage": row} for row in rows])

    assert found(checked) == [(expected[0], "usage", expected[1])]
    assert expected[2] in checked.problems.problems[0].message


def test_rows_of_two_free_sizes_that_do_not_fit_are_named() -> None:
    spec = InputSpec(name="usage", dtype="DT_FLOAT", shape=(-1, -1, -1))

    checked = RowChecker((spec,)).check([{"usage": [[1, 2]]}])

    assert found(checked) == [(None, "usage", "shape")]


def test_bytes_are_sent_in_base64() -> None:
    checked = CHECKER.check([a_row(origin={"b64": "RVdS"})])

    assert checked.inputs["origin"].tolist() == [b"EWR"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [((InputSpec(name="x", dtype="DT_FLOAT", shape=()),), "no batch")],
)
def test_a_model_that_takes_no_rows_says_so(inputs: tuple[InputSpec, ...], words: str) -> None:
    with pytest.raises(TakesNoRows, match=words):
        declared(a_manifest(inputs=inputs, outputs=(OutputSpec(name="y"),)))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from(["origin", "distance", "hour", "temp", "x"]), JSON) | JSON, min_size=1))
def test_whatever_json_comes_it_is_checked_or_named(rows: list[object]) -> None:
    checked = CHECKER.check(rows)

    if not checked.problems:
        assert {len(column) for column in checked.inputs.values()} == {len(rows)}
    for problem in checked.problems.problems:
        assert problem.row is None or problem.row < len(rows)
        problem.model_dump_json()
