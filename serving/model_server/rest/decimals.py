"""Numbers as the official server writes them: six digits where they give the number back, else all that it needs.

The rule is `WriteDecimal` of TensorFlow Serving's `json_tensor.cc`: C's `%g`, or `%.9g` (float) and `%.17g` (double)
where the short form is another number; `.0` after a whole one; NaN and Infinity as JavaScript names them.
"""

import math
from collections.abc import Sequence

import numpy as np

from roost.adapters.tf_messages import Array

_SHORT = "%.6g"
_FULL = {4: "%.9g", 8: "%.17g"}


def decimals(values: Array) -> list[str]:
    """Return each number of a flat float32 or float64 array as text; narrower floats are written as float32."""
    if values.dtype.itemsize not in _FULL:
        values = values.astype(np.float32)
    numbers = values.tolist()
    if not numbers:
        return []
    texts = ((_SHORT + "\n") * len(numbers) % tuple(numbers)).split("\n")[:-1]
    # Reading "0.1" gives a float64: made a float32, it is rounded twice, which changes nothing at six digits.
    read = np.array(texts, dtype=np.float64).astype(values.dtype)
    full = _FULL[values.dtype.itemsize]
    for index in np.flatnonzero(read != values).tolist():  # NaN is among them: it equals nothing
        texts[index] = full % numbers[index] if math.isfinite(numbers[index]) else _not_finite(numbers[index])
    return _marked(texts, numbers)


def decimal(value: float, *, single: bool = False) -> str:
    """Return one number as text: as a double, or as a float."""
    return decimals(np.array([value], dtype=np.float32 if single else np.float64))[0]


def _marked(texts: list[str], numbers: Sequence[float]) -> list[str]:
    """Give whole numbers their `.0`, so that a list's numbers are all of one kind."""
    for index, text in enumerate(texts):
        if "." not in text and "e" not in text and "N" not in text:
            texts[index] = text + ".0" if math.isfinite(numbers[index]) else _not_finite(numbers[index])
    return texts


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
