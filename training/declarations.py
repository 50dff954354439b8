"""What clients may send a model, read off the rows that it learnt from and the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from roost.contracts.manifest import InputSpec, SignatureSpec, TensorSpec
from training.examples import Array, Examples, Feature, Schema

#: How far beyond what was seen a number may be before it is called unusual: this share of the seen range.
_MARGIN: Final = 0.1
#: A column of texts is categories where it has at most so many different ones, and each stands in so many rows on
#: average. Otherwise it is free text: names, say, which must not be listed.
_MOST_CATEGORIES: Final = 1000
_ROWS_PER_CATEGORY: Final = 5

#: Features of rows to outputs by name.
Answer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def declared_inputs(
    schema: Schema, training: Examples, signature: SignatureSpec, answer: Answer
) -> tuple[InputSpec, ...]:
    """One declaration for each input of the signature, in its order.

    Numbers get the range that training saw with a margin of a tenth, texts the categories that it saw; what lies
    outside is answered with a warning. A number that was missing in training may be left out, where the model's own
    `answer` to NaN is a number.
    """
    features = {feature.name: feature for feature in schema.features}
    return tuple(
        _declared(tensor, features[tensor.name], training, answer)
        for tensor in signature.inputs
        if tensor.name in features
    )


def _declared(tensor: TensorSpec, feature: Feature, training: Examples, answer: Answer) -> InputSpec:
    column = training.features[feature.name]
    plain = InputSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, description=feature.description)
    if feature.kind == "text":
        return plain.model_copy(update={"categories": _categories(column)})
    known = column[np.isfinite(column)]
    if not known.size:
        return plain
    optional = known.size < column.size and _answers_nan(feature, training, answer)
    low, high = _range(known)
    return plain.model_copy(update={"minimum": low, "maximum": high, "nan": optional, "required": not optional})


def _categories(column: Array) -> tuple[str, ...]:
    found = sorted(set(column.tolist()))
    few = len(found) <= _MOST_CATEGORIES and len(found) * _ROWS_PER_CATEGORY <= len(column)
    return tuple(found) if few else ()


def _range(known: Array) -> tuple[float, float]:
    low, high = float(known.min()), float(known.max())
    margin = _MARGIN * ((high - low) or abs(high) or 1.0)
    # What was never negative, such as a distance, does not become it by a margin.
    below = max(0.0, low - margin) if low >= 0 else low - margin
    return float(f"{below:.6g}"), float(f"{high + margin:.6g}")


def _answers_nan(feature: Feature, training: Examples, answer: Answer) -> bool:
    row = {name: column[:1].copy() for name, column in training.rows(training.complete).features.items()}
    if not len(row[feature.name]):
        return False
    row[feature.name][...] = np.nan
    return all(np.isfinite(found).all() for found in answer(row).values() if found.dtype.kind == "f")
