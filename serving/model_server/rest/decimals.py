"""Numbers as the official server writes them: six digits where they give the number back, else all that it needs.

The rule is `WriteDecimal` of TensorFlow Serving's `json_tensor.cc`: C's `%g`, or `%.9g` (float) and `%.17g` (double)
where the short form is another number; `.0` after a whole one; NaN and Infinity as JavaScript names them.
"""

import math
import struct
from collections.abc import Sequence

import numpy as np

from roost.adapters.tf_messages import Array

_SHORT = "%.6g"
_SINGLE, _DOUBLE = 4, 8
_FULL = {_SINGLE: "%.9g", _DOUBLE: "%.17g"}
_FLOAT = struct.Struct("f")
#: From so many numbers on it is quicker to write all of them at once.
_MANY = 16


def decimals(values: Array) -> list[str]:
    """Return each number of a flat float32 or float64 array as text; narrower floats are written as float32."""
    if values.dtype.itemsize not in _FULL:
        values = values.astype(np.float32)
    numbers = values.tolist()
    if len(numbers) < _MANY:
        single = values.dtype.itemsize == _SINGLE
        return [_decimal(number, single=single) for number in numbers]
    texts = ((_SHORT + "\n") * len(numbers) % tuple(numbers)).split("\n")[:-1]
    # Reading "0.1" gives a float64: made a float32, it is rounded twice, which changes nothing at six digits.
    read = np.array(texts, dtype=np.float64).astype(values.dtype)
    full = _FULL[values.dtype.itemsize]
    for index in np.flatnonzero(read != values).tolist():  # NaN is among them: it equals nothing
        texts[index] = full % numbers[index] if math.isfinite(numbers[index]) else _not_finite(numbers[index])
    return _marked(texts, numbers)


def decimal(value: float, *, single: bool = False) -> str:
    """Return one number as text: as a double, or as a float."""
    return _decimal(_FLOAT.unpack(_FLOAT.pack(value))[0] if single else value, single=single)


def _decimal(value: float, *, single: bool) -> str:
    if not math.isfinite(value):
        return _not_finite(value)
    text = _SHORT % value
    read = float(text)
    if single and read != value:
        read = _FLOAT.unpack(_FLOAT.pack(read))[0]
    if read != value:
        text = _FULL[_SINGLE if single else _DOUBLE] % value
    return text if "." in text or "e" in text else text + ".0"


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
