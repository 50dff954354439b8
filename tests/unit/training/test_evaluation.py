from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.training.rows import SCHEMA
from training.evaluation import evaluate, roc_area
from training.examples import TrainingRefused

LABEL = np.array([0, 0, 1, 1], dtype=np.float32)


def metrics(answers: list[float], label: np.ndarray = LABEL, **changes: object) -> dict[str, float]:
    schema = SCHEMA.model_copy(update=changes)
    return evaluate(schema, answers=np.array(answers), label=label, trained_label=LABEL)


def test_the_baseline_is_the_base_rate_of_the_training_rows() -> None:
    found = metrics([0.1, 0.2, 0.8, 0.9])
    assert found["baseline_log_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2, abs=1e-6)
    assert (found["auc"], found["accuracy"], found["rows_evaluated"]) == (1.0, 1.0, 4.0)


def test_a_certain_and_wrong_answer_costs_much_and_not_infinity() -> None:
    assert math.isfinite(metrics([1.0, 1.0, 0.0, 0.0])["log_loss"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_answer_that_is_no_number_refuses_the_model(bad: float) -> None:
    with pytest.raises(TrainingRefused, match="1 of 4"):
        metrics([0.1, bad, 0.8, 0.9])


def test_one_class_only_leaves_the_area_out() -> None:
    assert "auc" not in metrics([0.1, 0.2, 0.3, 0.4], label=np.zeros(4, dtype=np.float32))


def test_ties_count_half() -> None:
    assert roc_area(np.array([0.5, 0.5, 0.5, 0.5]), LABEL) == 0.5
    assert roc_area(np.array([0.5, 0.1, 0.5, 0.9]), LABEL) == pytest.approx(3.5 / 4)


def test_a_regression_is_measured_against_the_mean() -> None:
    found = metrics([0.5, 0.5, 0.5, 0.5], task="regression")
    assert found["rmse"] == found["baseline_rmse"] == 0.5
