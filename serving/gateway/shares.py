"""Shares of requests between labels: which one a caller's key has. `routing.lua` does the same for the gateway.

The node's own page follows the same shares by this, so that one key is on one side whichever API it comes through.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

_TWO_32: Final = 1 << 32
#: Shifts and factors of murmur3's last steps, without which similar keys lie close together.
_MIXING: Final = ((16, 2246822507), (13, 3266489909))


def bounds(split: Mapping[str, float]) -> list[tuple[str, float]]:
    """Label and upper bound in percent: a place below it, and below none before, is that label's.

    In a fixed order of labels: everybody must put one key on one side.
    """
    labels = sorted(split)
    return list(zip(labels, accumulate(float(split[label]) for label in labels), strict=True))


def label_for(name: str, key: bytes, split: Mapping[str, float], *, otherwise: str) -> str:
    """The label that answers this key's requests for the served name; `otherwise` has what the split leaves."""
    at = place(name, key)
    return next((label for label, below in bounds(split) if at < below), otherwise)


def place(name: str, key: bytes) -> float:
    """From 0 up to 100, the same for the same name and key: FNV-1a, finished by the mixing of murmur3."""
    value = 2166136261
    for byte in name.encode() + b"\0" + key:
        value = (value ^ byte) * 16777619 % _TWO_32
    for shift, factor in _MIXING:
        value = (value ^ value >> shift) * factor % _TWO_32
    return (value ^ value >> 16) / _TWO_32 * 100
