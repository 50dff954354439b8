"""Looks at rows before a model learns from them. Each refusal names the fault and the remedy. Pure: numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from training.evaluation import roc_area
from training.examples import Array, Examples, Feature, Schema, TrainingRefused

#: Area under the ROC curve, of one feature alone, above which it cannot have been known before the label.
_TOO_GOOD: Final = 0.995
#: The same for a regression: correlation.
_TOO_LIKE: Final = 0.9995
#: The evaluation slice is the last fifth: fewer rows than this say nothing.
_LEAST_EVALUATED: Final = 4


def split(examples: Examples) -> tuple[Examples, Examples]:
    """Rows to learn from and later rows to evaluate on: four fifths and one, cut between two instants, never by chance.

    Raises:
        TrainingRefused: all rows are of one instant, or one side is nearly empty.
    """
    cut = int(np.searchsorted(examples.at, examples.at[len(examples) * 4 // 5], side="left")) if len(examples) else 0
    if cut < _LEAST_EVALUATED or len(examples) - cut < _LEAST_EVALUATED:
        raise TrainingRefused(
            f"{len(examples)} rows cannot be split by time into earlier and later ones: use a longer data window"
        )
    return examples.rows(slice(0, cut)), examples.rows(slice(cut, None))


def check(customer: str, schema: Schema, training: Examples) -> None:
    """Refuse what cannot give a model.

    Raises:
        TrainingRefused: listing every fault found.
    """
    faults = [*_label_faults(schema, training), *_feature_faults(schema, training)]
    if faults:
        raise TrainingRefused(f"the data of {customer} cannot be trained on: " + "; ".join(faults))


def _label_faults(schema: Schema, training: Examples) -> Iterator[str]:
    label = training.label
    if not np.isfinite(label).all():
        yield f"label {schema.label} is missing in {np.count_nonzero(~np.isfinite(label))} rows: drop them"
    elif schema.task == "regression":
        if np.ptp(label) == 0:
            yield f"label {schema.label} is {label[0]:g} in all rows: there is nothing to learn"
    elif not np.isin(label, (0, 1)).all():
        yield f"label {schema.label} must be 0 or 1, not {np.unique(label)[:5].tolist()}"
    elif label.min() == label.max():
        yield (
            f"label {schema.label} is {int(label[0])} in all {len(label)} rows (one class only): "
            "use a longer data window, or a cohort"
        )


def _feature_faults(schema: Schema, training: Examples) -> Iterator[str]:
    for feature in schema.features:
        column = training.features.get(feature.name)
        if feature.name in {schema.label, schema.time}:
            yield f"feature {feature.name} is the label or the time itself: remove it from the features"
        elif column is None:
            yield f"feature {feature.name} is missing: add the column, or remove it from the features"
        elif feature.kind == "number" and np.isnan(column).all():
            yield f"feature {feature.name} has no value in any row: remove it"
        elif _gives_the_label_away(feature, schema, column, training.label):
            yield (
                f"feature {feature.name} alone gives the label away (leakage): "
                "it is known only afterwards, so remove it from the features"
            )


def _gives_the_label_away(feature: Feature, schema: Schema, column: Array, label: Array) -> bool:
    if not np.isfinite(label).all() or np.ptp(label) == 0:
        return False
    values = column if feature.kind == "vector" else _as_numbers(feature, column, label)[:, None]
    return any(_too_good(schema, values[:, index], label) for index in range(values.shape[1]))


def _as_numbers(feature: Feature, column: Array, label: Array) -> Array:
    """Numbers as they are. A text by the label's mean over the even rows of that text, for the odd rows only.

    A mean over rows that include the judged one would tell its label, and so would a mean that leaves just it out.
    """
    if feature.kind == "number":
        return column
    _, place = np.unique(column, return_inverse=True)
    even = np.arange(len(label)) % 2 == 0
    count = np.bincount(place[even], minlength=place.max() + 1)
    total = np.bincount(place[even], weights=label[even], minlength=place.max() + 1)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return np.where(even, np.nan, mean[place])


def _too_good(schema: Schema, values: Array, label: Array) -> bool:
    known = np.isfinite(values)
    if np.count_nonzero(known) < max(20, len(label) // 4) or np.ptp(values[known]) == 0:
        return False
    if schema.task == "regression":
        return np.ptp(label[known]) > 0 and abs(float(np.corrcoef(values[known], label[known])[0, 1])) > _TOO_LIKE
    area = roc_area(values[known], label[known])
    return area is not None and max(area, 1 - area) > _TOO_GOOD
