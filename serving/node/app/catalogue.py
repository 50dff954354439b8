"""Which model answers a customer on this node now, and what its artifact declares.

The node's own state says which version a label names; it moves with each flip. Versions never change, so what their
manifests say is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from roost.contracts.acks import NodeModel, NodeState, VersionState
from roost.contracts.desired import STABLE, DesiredModel, DesiredState
from roost.contracts.errors import ArtifactInvalid
from roost.contracts.ids import served_name
from roost.contracts.manifest import ArtifactManifest, OutputSpec
from roost.contracts.policy import PredictionPolicy
from serving.gateway.shares import label_for
from serving.node.app.checking import RowChecker, TakesNoRows, declared
from serving.node.app.refusing import Refused

_KEPT: Final = 4096
Key = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedVersion:
    """One version, and what its manifest says."""

    name: str
    version: int
    checker: RowChecker
    outputs: tuple[OutputSpec, ...]
    trained_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is to answer."""

    served: ServedVersion
    #: The label that was followed; None where a version was named.
    label: str | None
    #: Whose default it is; None where it is the customer's own.
    cohort: str | None = None
    #: Whether it is asked by its number; else by the label ``stable``.
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whom a request is for, and what it chose."""

    customer: str
    model: str
    version: int | None = None
    label: str | None = None
    #: By what a request that chooses nothing is shared out between labels. None: it is not, and goes to ``stable``.
    key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the node knows, as it is at the moment of each call. Any thread may ask."""

    desired: Callable[[], DesiredState]
    state: Callable[[], NodeState]
    #: Raises `ArtifactInvalid` where the version is not, or no longer, on this node.
    manifest: Callable[[Key], ArtifactManifest]


class Catalogue:
    """Finds who answers. Safe for threads."""

    def __init__(self, facts: NodeFacts) -> None:
        self._facts = facts
        self._read = lru_cache(maxsize=_KEPT)(self._described)
        # Both are replaced as a whole: what they index is never changed, only followed by another.
        self._desired: tuple[DesiredState | None, dict[str, DesiredModel]] = (None, {})
        self._state: tuple[NodeState | None, dict[str, NodeModel]] = (None, {})

    def find(self, wanted: Wanted, policy: PredictionPolicy) -> Target:
        """The customer's own model, else the default of their cohort.

        Raises:
            Refused: no model, no such version or label, or not loaded yet.
        """
        own = served_name(wanted.customer, wanted.model)
        if wanted.version is not None or wanted.label not in {None, STABLE}:
            return self._chosen(own, wanted)
        target = self._current(own, wanted)
        if target is not None:
            return target
        default = policy.cohort_default
        if default is not None and default != wanted.customer:
            target = self._current(served_name(default, wanted.model), wanted)
            if target is not None:
                return replace(target, cohort=default)
        raise Refused(404, self._nobody(own, default))

    def at(self, name: str, version: int) -> ServedVersion:
        """That version.

        Raises:
            Refused: it is not on this node (503), or cannot be asked by rows (422).
        """
        try:
            return self._read((name, version))
        except ArtifactInvalid:
            raise Refused(503, f"{name} version {version} is not on this node at the moment: ask again") from None
        except TakesNoRows as error:
            raise Refused(422, f"{name} takes no rows, since {error}: ask it at /v1/models/{name}:predict") from None

    def _chosen(self, name: str, wanted: Wanted) -> Target:
        """What a request has named; whether its caller may, the gateway has said."""
        here = self._here(name)
        if wanted.version is not None:
            if here is None or here.state_of(wanted.version) is None:
                raise Refused(404, f"{name} has no version {wanted.version} here")
            return Target(served=self.at(name, wanted.version), label=None, exact=True)
        version = here.labels.get(wanted.label or "") if here is not None else None
        if version is None:
            raise Refused(404, f"{name} has no label {wanted.label} here")
        return Target(served=self.at(name, version), label=wanted.label, exact=True)

    def _current(self, name: str, wanted: Wanted) -> Target | None:
        """Who answers whoever chooses nothing, or ``stable``; None where nobody does."""
        version = self._stable(name)
        if version is None:
            return None
        # Looked at once: the labels may move between two looks.
        labels = here.labels if (here := self._here(name)) is not None else {}
        label = self._share(name, labels, wanted)
        if label == STABLE:
            return Target(served=self.at(name, version), label=STABLE)
        return Target(served=self.at(name, labels[label]), label=label, exact=True)

    def _share(self, name: str, labels: Mapping[str, int], wanted: Wanted) -> str:
        """The label whose share the request is in, as the gateway finds it: over labels that the server has taken."""
        listed = self._listed(name)
        if listed is None or not listed.split or wanted.label is not None or wanted.key is None:
            return STABLE
        split = {label: percent for label, percent in listed.split.items() if label in labels}
        return label_for(name, wanted.key, split, otherwise=STABLE)

    def _stable(self, name: str) -> int | None:
        """The version that answers to ``stable``; while the model server is replaced, the one that will."""
        here = self._here(name)
        if here is not None and STABLE in here.labels:
            return here.labels[STABLE]
        desired = self._listed(name)
        if desired is None or desired.stable is None:
            return None
        entry = here.state_of(desired.stable) if here is not None else None
        # Proven and not labelled is a first version just before its label: until then the default answers.
        return desired.stable if entry is not None and entry.state is VersionState.LOADING else None

    def _nobody(self, own: str, default: str | None) -> str:
        listed = "has no version that is stable yet" if self._listed(own) is not None else "has no model here"
        if default is None:
            return f"{own} {listed}, and the policy names no default of a cohort (predictions.cohort_default)"
        return f"{own} {listed}, and neither has the default of the cohort, {default}"

    def _listed(self, name: str) -> DesiredModel | None:
        desired = self._facts.desired()
        if self._desired[0] is not desired:
            self._desired = (desired, {model.name: model for model in desired.models})
        return self._desired[1].get(name)

    def _here(self, name: str) -> NodeModel | None:
        state = self._facts.state()
        if self._state[0] is not state:
            self._state = (state, {model.name: model for model in state.models})
        return self._state[1].get(name)

    def _described(self, key: Key) -> ServedVersion:
        manifest = self._facts.manifest(key)
        return ServedVersion(
            name=key[0],
            version=key[1],
            checker=RowChecker(declared(manifest)),
            outputs=manifest.outputs,
            trained_on=manifest.run.scope,
        )
