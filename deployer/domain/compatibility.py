"""Would a client of the live version break? Signatures compared by the manifests alone.

TensorFlow Serving wants exactly the inputs of the signature, so that one more and one less break a client alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from roost.contracts.manifest import ArtifactManifest, SignatureSpec, TensorSpec

#: The size of a free dimension.
_FREE = -1


def breaks(live: ArtifactManifest, candidate: ArtifactManifest) -> str | None:
    """The first thing that would break a client of `live`, one sentence; None where nothing would."""
    return next(_breaks(live, candidate), None)


def _breaks(live: ArtifactManifest, candidate: ArtifactManifest) -> Iterator[str]:
    for signature in live.signatures:
        offered = candidate.signature(signature.name)
        if offered is None:
            yield f"Signature {signature.name!r} of the live version is gone."
        else:
            yield from _signature_breaks(signature, offered)


def _signature_breaks(live: SignatureSpec, offered: SignatureSpec) -> Iterator[str]:
    where = f"of signature {live.name!r}"
    if live.method != offered.method:
        yield f"The method {where} was {live.method}, and would be {offered.method}."
    was, will = _by_name(live.inputs), _by_name(offered.inputs)
    for name in sorted(will.keys() - was.keys()):
        yield f"Input {name!r} {where} would be required, and no client sends it."
    for name in sorted(was.keys() - will.keys()):
        yield f"Input {name!r} {where} would be refused, and clients send it."
    for name in sorted(was.keys() & will.keys()):
        yield from _tensor_breaks(f"Input {name!r} {where}", was[name], will[name])
    gave, gives = _by_name(live.outputs), _by_name(offered.outputs)
    for name in sorted(gave.keys() - gives.keys()):
        yield f"Output {name!r} {where} would vanish."
    for name in sorted(gave.keys() & gives.keys()):
        # What a client may rely on for answers is the reverse of what it may send.
        yield from _tensor_breaks(f"Output {name!r} {where}", gives[name], gave[name], reverse=True)


def _tensor_breaks(what: str, narrow: TensorSpec, wide: TensorSpec, *, reverse: bool = False) -> Iterator[str]:
    was, will = (wide, narrow) if reverse else (narrow, wide)
    if was.dtype != will.dtype:
        yield f"{what} was {was.dtype}, and would be {will.dtype}."
    elif not _within(narrow.shape, wide.shape):
        yield f"{what} had shape {_shown(was.shape)}, and would have {_shown(will.shape)}."


def _within(narrow: tuple[int, ...] | None, wide: tuple[int, ...] | None) -> bool:
    """Whether every tensor of shape `narrow` is one of shape `wide`."""
    if wide is None:
        return True
    if narrow is None or len(narrow) != len(wide):
        return False
    return all(large in (_FREE, small) for small, large in zip(narrow, wide, strict=True))


def _by_name(tensors: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {tensor.name: tensor for tensor in tensors}


def _shown(shape: tuple[int, ...] | None) -> str:
    return "any shape" if shape is None else str(list(shape))
