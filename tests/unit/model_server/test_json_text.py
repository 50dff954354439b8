"""JSON as the official server writes and reads it, to the letter: what RapidJSON's pretty writer and reader would do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.adapters.tf_messages import classification_pb2, regression_pb2
from serving.model_server.rest.decimals import decimal, decimals
from serving.model_server.rest.json_answers import (
    classifications_body,
    error_body,
    outputs_body,
    predictions_body,
    regressions_body,
)
from serving.model_server.rest.json_reader import parse_json
from serving.model_server.rest.json_text import document, value_text
from serving.model_server.statuses import StatusError, invalid_argument


def array(values: object, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """A tensor."""
    return np.array(values, dtype)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "0.2"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (9_000_000.0, "9e+06"),
        (123456.0, "123456.0"),
        (1234567.0, "1234567.0"),
        (0.00003, "3e-05"),
        (1 / 3, "0.333333343"),
        (16777216.0, "16777216.0"),
        (3.4028235e38, "3.40282347e+38"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_a_float_has_six_digits_where_they_give_it_back_and_nine_otherwise(value: float, text: str) -> None:
    """`%g`, else `%.9g`; whole numbers end in .0."""
    assert decimal(value, single=True) == text


def test_a_double_has_seventeen_digits_where_six_are_not_enough() -> None:
    """As printf gives them, not the shortest."""
    assert decimals(array([0.1, 1 / 3, 0.1 + 0.2, 1e300], np.float64)) == [
        "0.1",
        "0.33333333333333331",
        "0.30000000000000004",
        "1e+300",
    ]


@given(st.lists(st.floats(width=32)))
def test_every_float_comes_back_from_its_text(values: list[float]) -> None:
    """However few the digits."""
    given_values = array(values)
    back = np.array([float(text) for text in decimals(given_values)], dtype=np.float32)
    np.testing.assert_array_equal(back, given_values)


FORMS: dict[str, tuple[bytes, str]] = {
    "rows of one output": (
        predictions_body({"y": array([2.5, 3, 4.5])}),
        '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}',
    ),
    "rows that are lists": (
        predictions_body({"y": array([[1, 2], [3, 4]], np.int64)}),
        '{\n    "predictions": [[1, 2], [3, 4]\n    ]\n}',
    ),
    "rows that are matrices": (
        predictions_body({"y": array([[[1], [2]]], np.uint8)}),
        '{\n    "predictions": [[[1], [2]]\n    ]\n}',
    ),
    "rows of several outputs": (
        predictions_body({"a": array([1]), "b": array([[True, False]], np.bool_)}),
        '{\n    "predictions": [\n        {\n            "a": 1.0,\n            "b": [true, false]\n        }\n    ]\n}',
    ),
    "rows of bytes": (
        predictions_body({"y_bytes": array([b"\xff"], object)}),
        '{\n    "predictions": [{\n            "b64": "/w=="\n        }\n    ]\n}',
    ),
    "no row": (predictions_body({"y": array([])}), '{\n    "predictions": []\n}'),
    "empty rows": (predictions_body({"y": array([[], []])}), '{\n    "predictions": [[], []\n    ]\n}'),
    "a scalar": (outputs_body({"y": array(0.5)}), '{\n    "outputs": 0.5\n}'),
    "a column": (
        outputs_body({"y": array([[1], [2]], np.int32)}),
        '{\n    "outputs": [\n        [\n            1\n        ],\n        [\n            2\n        ]\n    ]\n}',
    ),
    "columns": (
        outputs_body({"a": array(1, np.int8), "b": array(["x\n"], object).astype("S").astype(object)}),
        '{\n    "outputs": {\n        "a": 1,\n        "b": [\n            "x\\n"\n        ]\n    }\n}',
    ),
    "an empty column": (outputs_body({"y": array([[], []])}), '{\n    "outputs": [\n        [],\n        []\n    ]\n}'),
    "half": (outputs_body({"y": array(0.1, np.float16)}), '{\n    "outputs": 0.0999755859\n}'),
    "an error": (
        error_body(invalid_argument('a "b" \\ \x01 é')),
        '{\n    "error": "a \\"b\\" \\\\ \\u0001 é"\n}',
    ),
    "classes": (
        classifications_body(
            classification_pb2.ClassificationResult(
                classifications=[
                    {"classes": [{"label": "a", "score": 0.1}, {"label": "b", "score": 1}]},
                    {"classes": [{"label": "", "score": 0}]},
                ]
            )
        ),
        '{\n    "results": [[["a", 0.1], ["b", 1.0]], [["", 0.0]]\n    ]\n}',
    ),
    "values": (
        regressions_body(regression_pb2.RegressionResult(regressions=[{"value": 0.1}, {"value": 2}])),
        '{\n    "results": [0.1, 2.0]\n}',
    ),
}


@pytest.mark.parametrize("case", FORMS)
def test_an_answer_is_written_to_the_letter(case: str) -> None:
    """Blanks and line ends included."""
    body, expected = FORMS[case]
    assert body.decode() == expected


@pytest.mark.parametrize("dtype", [np.uint16, np.complex64])
def test_a_dtype_that_json_has_not_is_refused(dtype: Any) -> None:
    """As the official server refuses it: after the run."""
    with pytest.raises(StatusError, match=r"Failed to write JSON value for tensor type: (uint16|complex64)"):
        outputs_body({"y": array([1], dtype)})


def test_text_that_is_no_utf8_passes_as_it_is() -> None:
    """The official server checks nothing there."""
    assert b'"\xff"' in outputs_body({"y": array([b"\xff"], object)})
    assert parse_json(b'{"a": "\xff"}')["a"].encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (3.14159265, "3.14159274"),
        (1e39, "1e+39"),
        (float("nan"), "NaN"),
        (7, "7"),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
        ({"a": [1, 0.5]}, '{\n    "a": [\n        1,\n        0.5\n    ]\n}'),
    ],
)
def test_an_error_quotes_a_value_as_the_pretty_writer_gives_it(value: object, text: str) -> None:
    """A number alone as answers write it; the rest four blanks a level."""
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e-7, "1.5e-7"),
        (0.000012, "0.000012"),
        (123.456, "123.456"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
    ],
)
def test_a_double_within_a_value_has_its_fewest_digits(value: float, text: str) -> None:
    """In the form that RapidJSON chooses for its size, which is not Python's."""
    assert document([value]) == f"[\n    {text}\n]"
