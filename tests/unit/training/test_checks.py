from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.rows import SCHEMA, rows
from training.checks import check, split
from training.examples import Examples, Feature, Schema, TrainingRefused


def changed(examples: Examples, **columns: np.ndarray) -> Examples:
    return Examples(features={**examples.features, **columns}, label=examples.label, at=examples.at)


def test_ordinary_rows_pass() -> None:
    check("ua", SCHEMA, rows(500))


def test_rows_are_split_by_time_and_never_by_chance() -> None:
    training, later = split(rows(100))
    assert (len(training), len(later)) == (80, 20)
    assert training.at[-1] < later.at[0]


def test_rows_of_one_instant_stay_on_one_side() -> None:
    examples = rows(100)
    examples = Examples(
        features=examples.features, label=examples.label, at=examples.at.astype("datetime64[D]").astype("datetime64[s]")
    )
    training, later = split(examples)
    assert training.at[-1] < later.at[0]
    assert len(training) + len(later) == 100


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_rows_to_split_are_refused(count: int) -> None:
    with pytest.raises(TrainingRefused, match="cannot be split by time"):
        split(rows(count))


def test_rows_of_a_single_instant_are_refused() -> None:
    examples = rows(50)
    with pytest.raises(TrainingRefused, match="longer data window"):
        split(Examples(features=examples.features, label=examples.label, at=np.repeat(examples.at[:1], 50)))


@pytest.mark.parametrize("only", [0, 1])
def test_a_single_class_is_refused(only: int) -> None:
    with pytest.raises(TrainingRefused, match="one class only"):
        check("ua", SCHEMA, rows(100, label=[only] * 100))


def test_a_label_that_is_neither_0_nor_1_is_refused() -> None:
    with pytest.raises(TrainingRefused, match="must be 0 or 1"):
        check("ua", SCHEMA, rows(3, label=[0, 1, 2]))


def test_a_missing_label_is_counted() -> None:
    with pytest.raises(TrainingRefused, match="missing in 2 rows"):
        check("ua", SCHEMA, rows(4, label=[0, 1, np.nan, np.nan]))


def test_a_missing_column_is_named() -> None:
    examples = rows(100)
    without = Examples(features={"place": examples.features["place"]}, label=examples.label, at=examples.at)
    with pytest.raises(TrainingRefused, match="feature hour is missing"):
        check("ua", SCHEMA, without)


def test_a_column_without_any_value_is_named() -> None:
    examples = rows(100)
    with pytest.raises(TrainingRefused, match="feature hour has no value"):
        check("ua", SCHEMA, changed(examples, hour=np.full(100, np.nan, dtype=np.float32)))


def test_a_number_that_gives_the_label_away_is_refused_as_leakage() -> None:
    examples = rows(400)
    noise = np.random.default_rng(3).normal(0, 0.05, 400)
    with pytest.raises(TrainingRefused, match="hour alone gives the label away"):
        check("ua", SCHEMA, changed(examples, hour=(examples.label + noise).astype(np.float32)))


def test_a_text_that_gives_the_label_away_is_refused_as_leakage() -> None:
    examples = rows(400)
    told = np.where(examples.label > 0, "arrived late", "arrived").astype(object)
    with pytest.raises(TrainingRefused, match="place alone gives the label away"):
        check("ua", SCHEMA, changed(examples, place=told))


def test_a_text_that_tells_nothing_is_not_taken_for_leakage() -> None:
    """A mean per text that left out just the judged row once refused every airline with one origin."""
    examples = rows(400)
    check("ua", SCHEMA, changed(examples, place=np.full(400, "JFK", dtype=object)))
    check("ua", SCHEMA, changed(examples, place=np.array([f"flight {i}" for i in range(400)], dtype=object)))


def test_the_label_itself_is_no_feature() -> None:
    schema = SCHEMA.model_copy(update={"features": (*SCHEMA.features, Feature(name="late", kind="number"))})
    examples = rows(100)
    with pytest.raises(TrainingRefused, match="feature late is the label"):
        check("ua", schema, changed(examples, late=examples.label))


def test_every_fault_is_listed_at_once() -> None:
    examples = rows(100, label=[1] * 100)
    with pytest.raises(TrainingRefused, match=r"one class only.*hour has no value"):
        check("ua", SCHEMA, changed(examples, hour=np.full(100, np.nan, dtype=np.float32)))


REGRESSION = Schema(
    label="minutes", time="at", task="regression", features=(Feature(name="usage", kind="vector", size=2),), labels=()
)


def regression(label: np.ndarray, usage: np.ndarray) -> Examples:
    at = np.datetime64("2013-01-01", "s") + np.arange(len(label)) * np.timedelta64(60, "s")
    return Examples(features={"usage": usage.astype(np.float32)}, label=label.astype(np.float32), at=at)


def test_a_regression_over_vectors_passes() -> None:
    usage = np.random.default_rng(1).normal(size=(200, 2))
    check("acme", REGRESSION, regression(usage.sum(axis=1) + np.random.default_rng(2).normal(size=200), usage))


def test_a_constant_label_of_a_regression_is_refused() -> None:
    with pytest.raises(TrainingRefused, match="nothing to learn"):
        check("acme", REGRESSION, regression(np.full(50, 3.0), np.random.default_rng(1).normal(size=(50, 2))))


def test_a_part_of_a_vector_that_is_the_label_is_refused() -> None:
    label = np.random.default_rng(1).normal(size=200)
    usage = np.stack([np.random.default_rng(2).normal(size=200), label * 2 + 1], axis=1)
    with pytest.raises(TrainingRefused, match="usage alone gives the label away"):
        check("acme", REGRESSION, regression(label, usage))
