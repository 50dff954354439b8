"""How good a model is on rows that came later than those it learnt from. Pure: numpy only."""

from __future__ import annotations

from typing import Final

import numpy as np

from training.examples import Array, Schema, TrainingRefused

_EDGE: Final = 1e-7


def evaluate(schema: Schema, *, answers: Array, label: Array, trained_label: Array) -> dict[str, float]:
    """Metrics of the answers and, as ``baseline_…``, of the best constant that the training rows give.

    Classification: mean log-loss in nats, area under the ROC curve, accuracy at 0.5. Regression: root mean square
    error, mean absolute error. What cannot be measured (one class only, say) is left out.

    Raises:
        TrainingRefused: an answer is NaN or infinite.
    """
    flat = np.asarray(answers, dtype=np.float64).reshape(len(label), -1)[:, -1]
    broken = int(np.count_nonzero(~np.isfinite(flat)))
    if broken:
        raise TrainingRefused(
            f"the model answers NaN or infinity for {broken} of {len(flat)} evaluation rows: "
            "look for a division by zero, a logarithm of zero or a learning rate that is too high"
        )
    measure = _classification if schema.task == "classification" else _regression
    metrics = measure(flat, np.asarray(label, dtype=np.float64), float(np.mean(trained_label)))
    return {"rows_evaluated": float(len(flat)), **{name: round(value, 6) for name, value in metrics.items()}}


def _classification(chance: Array, label: Array, base_rate: float) -> dict[str, float]:
    metrics = {
        "log_loss": _log_loss(chance, label),
        "baseline_log_loss": _log_loss(np.full_like(chance, base_rate), label),
        "accuracy": float(np.mean((chance > 0.5) == (label > 0.5))),
        "base_rate": float(np.mean(label)),
    }
    area = roc_area(chance, label)
    return metrics if area is None else {**metrics, "auc": area}


def _regression(value: Array, label: Array, mean: float) -> dict[str, float]:
    return {
        "rmse": float(np.sqrt(np.mean((value - label) ** 2))),
        "baseline_rmse": float(np.sqrt(np.mean((mean - label) ** 2))),
        "mean_absolute_error": float(np.mean(np.abs(value - label))),
    }


def _log_loss(chance: Array, label: Array) -> float:
    bounded = np.clip(chance, _EDGE, 1 - _EDGE)
    return float(-np.mean(label * np.log(bounded) + (1 - label) * np.log(1 - bounded)))


def roc_area(score: Array, label: Array) -> float | None:
    """Chance that a row of label 1 scores above one of label 0, ties counting half; None where a class is missing.

    The Mann-Whitney statistic over its maximum (Hanley and McNeil 1982).
    """
    positive = label > 0.5
    ones, zeros = int(np.count_nonzero(positive)), int(np.count_nonzero(~positive))
    if not ones or not zeros:
        return None
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
