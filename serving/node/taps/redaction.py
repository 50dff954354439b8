"""What of a request may leave the node. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import numpy as np

from roost.contracts.manifest import InputSpec
from roost.contracts.policy import Redaction, TapPolicy
from roost.ports.serving import Tensors
from serving.node.app.values import Array

#: Stands for a text that is not among the declared categories.
WITHHELD: Final = b"<withheld>"
_DIGITS: Final = 16


class Redactor:
    """Applies the policy, by field. Without a key, what is to be hashed is dropped."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key or None

    def redacted(self, specs: Sequence[InputSpec], inputs: Tensors, policy: TapPolicy) -> Tensors:
        """The inputs that may be kept, as they may be kept. Only declared ones are."""
        kept = {}
        for spec in specs:
            if spec.name in inputs:
                made = self._field(spec, inputs[spec.name], policy.fields.get(spec.name))
                if made is not None:
                    kept[spec.name] = made
        return kept

    def _field(self, spec: InputSpec, values: Array, redaction: Redaction | None) -> Array | None:
        if redaction is Redaction.KEEP:
            return values
        if redaction is Redaction.DROP:
            return None
        is_text = values.dtype.kind == "O"
        if redaction is Redaction.HASH:
            return self._hashed(spec.name, values) if is_text and self._key else None
        if not is_text:
            return values
        return _only(frozenset(text.encode() for text in spec.categories), values) if spec.categories else None

    def _hashed(self, field: str, values: Array) -> Array:
        # The field is part of it: one value in two fields must not be recognised.
        def digest(value: bytes) -> bytes:
            key = self._key or b""
            return hmac.new(key, field.encode() + b"\0" + value, hashlib.sha256).hexdigest()[:_DIGITS].encode()

        return _each(values, [digest(value) for value in values.ravel()])


def _only(known: frozenset[bytes], values: Array) -> Array:
    """Texts that training saw; somebody may have put a name where a place belongs."""
    return _each(values, [value if value in known else WITHHELD for value in values.ravel()])


def _each(values: Array, made: Sequence[bytes]) -> Array:
    found = np.empty(values.size, dtype=object)
    found[:] = made
    return found.reshape(values.shape)
