"""What an artifact declares of its inputs comes from the rows that it learnt from, and from its own answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from roost.contracts.manifest import InputSpec, SignatureSpec, TensorSpec
from training.declarations import declared_inputs
from training.examples import Array, Examples, Feature, Schema

ROWS = 100


def declared(kind: str, column: Array, *, answers_nan: bool = True, size: int | None = None) -> InputSpec:
    feature = Feature(name="x", kind=kind, size=size, description="what x is")  # type: ignore[arg-type]  # a table's
    schema = Schema(label="y", time="t", features=(feature,))
    training = Examples(
        features={"x": column},
        label=np.zeros(len(column), np.float32),
        at=np.arange(len(column)).astype("datetime64[s]"),
    )
    tensor = TensorSpec(
        name="x", dtype="DT_STRING" if kind == "text" else "DT_FLOAT", shape=(-1,) if size is None else (-1, size)
    )
    signature = SignatureSpec(name="serving_default", inputs=(tensor,), outputs=())

    def answer(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        asked = inputs["x"]
        if asked.dtype == object:
            return {"p": np.zeros(1)}
        return {"p": np.nan_to_num(asked) if answers_nan else asked.astype(np.float32)}

    (spec,) = declared_inputs(schema, training, signature, answer)
    return InputSpec.model_validate(spec.model_dump())


def numbers(*values: float) -> Array:
    return np.resize(np.array(values, np.float32), ROWS)


def test_a_number_has_the_range_that_training_saw_and_a_margin() -> None:
    spec = declared("number", numbers(-10, 30))

    assert (spec.minimum, spec.maximum, spec.bounds) == (-14.0, 34.0, "warn")
    assert (spec.required, spec.nan, spec.description) == (True, False, "what x is")


@pytest.mark.parametrize(
    ("column", "expected"),
    [(numbers(0, 100), (0.0, 110.0)), (numbers(5), (4.5, 5.5)), (numbers(0), (0.0, 0.1))],
)
def test_what_was_never_negative_does_not_become_it_and_one_value_has_a_margin_too(
    column: Array, expected: tuple[float, float]
) -> None:
    spec = declared("number", column)

    assert (spec.minimum, spec.maximum) == expected


def test_a_number_that_was_missing_may_be_left_out_where_the_model_has_an_answer_for_it() -> None:
    column = numbers(1, 2, np.nan)

    assert (declared("number", column).required, declared("number", column).nan) == (False, True)
    refused = declared("number", column, answers_nan=False)
    assert (refused.required, refused.nan) == (True, False)


def test_texts_that_stand_in_many_rows_are_categories_and_free_text_is_not_listed() -> None:
    places = np.resize(np.array(["EWR", "JFK"], object), ROWS)
    names = np.array([f"person {number}" for number in range(ROWS)], object)

    assert declared("text", places).categories == ("EWR", "JFK")
    assert declared("text", names).categories == ()


def test_a_vector_has_one_range_for_all_its_numbers() -> None:
    column = np.stack([numbers(0, 10), numbers(5, 100)], axis=1)

    spec = declared("vector", column, size=2)

    assert (spec.minimum, spec.maximum, spec.shape) == (0.0, 110.0, (-1, 2))


def test_a_column_without_a_number_declares_no_range() -> None:
    spec = declared("number", numbers(np.nan))

    assert (spec.minimum, spec.maximum, spec.required) == (None, None, True)
