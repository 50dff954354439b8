"""Proves a version by one prediction: the first case that training recorded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from pydantic import ValidationError

from roost.adapters.tf_messages import numpy_dtype, packed_tensor_from_array, types_pb2
from roost.contracts.errors import ArtifactInvalid, Permanent
from roost.contracts.manifest import GOLDEN_NAME, ArtifactManifest, GoldenCase
from roost.ports.serving import Tensors
from serving.node.cache import DiskCache
from serving.node.integrity import Key
from serving.node.model_server import ModelServer

_CASES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked to prove a version."""

    signature: str
    inputs: Tensors


class Proof:
    """Asks a version its first golden case. Safe for threads."""

    def __init__(self, server: ModelServer, cache: DiskCache, *, finite: bool) -> None:
        """With `finite`, an answer with NaN or infinity proves nothing.

        A canary node does without: there, what an answer is worth is for the deployer's checks to say, by name.
        """
        self._server = server
        self._cache = cache
        self._finite = finite
        self._request = lru_cache(maxsize=_CASES_KEPT)(self._read)

    def by_version(self, key: Key) -> None:
        """Ask exactly that version.

        Raises:
            ModelServerUnavailable: it did not answer in time.
            Permanent: it refused, or its answer proves nothing; the text says why.
        """
        self._ask(key, key[1])

    def by_label(self, key: Key) -> None:
        """Ask the label ``stable``, and require that this version answers. Raises as `by_version`."""
        self._ask(key, None)

    def _ask(self, key: Key, version: int | None) -> None:
        name, expected = key
        request = self._request(key)
        answer = self._server.predict(name, request.inputs, version=version, signature=request.signature)
        if answer.version != expected:
            raise Permanent(f"version {answer.version} of {name} answered where {expected} was asked")
        if not answer.outputs:
            raise Permanent(f"version {expected} of {name} answered without any output")
        if self._finite:
            _check_finite(answer.outputs, key)

    def _read(self, key: Key) -> Request:
        manifest = self._cache.manifest(key)
        path = self._cache.path(key) / GOLDEN_NAME
        try:
            with path.open("rb") as file:
                case = GoldenCase.model_validate_json(file.readline())
        except (OSError, ValidationError) as error:
            raise ArtifactInvalid(f"{key[0]} version {key[1]} has no usable {GOLDEN_NAME} to prove it with") from error
        try:
            inputs = _tensors(manifest, case)
            for values in inputs.values():
                packed_tensor_from_array(values)
        except (TypeError, ValueError, OverflowError) as error:
            # Ragged lists, a type that nobody knows: the artifact's fault, and no reason for the node to end.
            raise ArtifactInvalid(
                f"the first golden case of {key[0]} version {key[1]} cannot be sent: {error}"
            ) from error
        return Request(signature=case.signature, inputs=inputs)


def _tensors(manifest: ArtifactManifest, case: GoldenCase) -> Tensors:
    signature = manifest.signature(case.signature)
    if signature is None:
        raise ArtifactInvalid(
            f"the first golden case asks signature {case.signature}, which the manifest does not have"
        )
    dtypes = {spec.name: numpy_dtype(types_pb2.DataType.Value(spec.dtype)) for spec in signature.inputs}
    unknown = sorted(set(case.inputs) - set(dtypes))
    if unknown:
        raise ArtifactInvalid(f"the first golden case gives {', '.join(unknown)}, which {case.signature} does not take")
    return {name: np.asarray(values, dtype=dtypes[name]) for name, values in case.inputs.items()}


def _check_finite(outputs: Tensors, key: Key) -> None:
    for name, values in outputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Permanent(f"output {name} of {key[0]} version {key[1]} is not finite")
