"""What a check is given: the candidate on its isolated node, and what to ask it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from roost.contracts.acks import NodeVersion
from roost.contracts.errors import Retryable
from roost.contracts.manifest import ArtifactManifest, GoldenCase, HoldoutRow
from roost.contracts.policy import CheckPolicy, CopyBounds
from roost.contracts.traffic import Answered
from roost.contracts.verdict import CheckResult
from roost.ports.serving import Tensors

#: Inputs and signature to outputs, bound to the canary's address, the served name and the candidate's version.
#: Raises `ModelServerUnavailable` where nothing answers and `Permanent` where the server refuses the request.
Ask = Callable[[Tensors, str], Tensors]


class Interrupted(Retryable):
    """The deployer ends in the middle of a measurement, which says nothing: it is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What became of live requests while some of them were copied."""

    #: On the candidate's node: of copies.
    candidate: Answered
    #: On all serving nodes that copied: of every request under the name.
    live: Answered


#: Has live requests copied to the candidate by the policy's bounds, and switches that off again.
#: Raises `NodeUnavailable` where that cannot be done, and `Interrupted`.
Copy = Callable[[CopyBounds], Copies]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySubject:
    """One candidate, ready to be measured."""

    manifest: ArtifactManifest
    version: int
    #: What the isolated node says of it. None where no node answered in time.
    loaded: NodeVersion | None
    golden: Sequence[GoldenCase]
    holdout: Sequence[HoldoutRow]
    ask: Ask
    bounds: CheckPolicy
    #: Manifest of the live version. None for a first model.
    live: ArtifactManifest | None = None
    #: What the customer really asked, newest first; fields that the policy drops are missing.
    recorded: Sequence[Tensors] = ()
    #: None where nobody asks for this name yet, or no node has the candidate.
    copies: Copy | None = None


class CanaryCheck(Protocol):
    """One check. Deterministic for one subject; never raises for what a model or a node may do."""

    @property
    def name(self) -> str:
        """Name in policy, verdict and metrics."""

    def run(self, subject: CanarySubject) -> CheckResult:
        """Measure. What cannot be measured is INCONCLUSIVE, never PASS."""


def inputs_digest(parts: Sequence[GoldenCase | HoldoutRow], recorded: Sequence[Tensors] = ()) -> str:
    """``sha256:`` of what was asked, so that a verdict can be repeated."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.model_dump_json().encode() + b"\n")
    for inputs in recorded:
        for name in sorted(inputs):
            digest.update(f"{name} {inputs[name].dtype} {inputs[name].tolist()!r}\n".encode())
    return "sha256:" + digest.hexdigest()
