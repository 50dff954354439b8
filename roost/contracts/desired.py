"""Desired state of a serving pool: which versions every node holds and which of them answers.

One object per pool, replaced by compare-and-swap. Its `generation` is Roost's own counter, one more with each
change; the object store's generation is only the precondition of the write.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Final

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from roost.contracts.ids import Digest, PoolId, split_served_name, version_prefix
from roost.contracts.manifest import Frozen

#: The label that unversioned requests follow.
STABLE: Final = "stable"
#: The label of the version that a rollback returns to.
PREVIOUS: Final = "previous"


def compact(document: object) -> str:
    """JSON without a space, keys sorted: how `desired.json` is written, whole or in parts."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


class LoadingOrder(StrEnum):
    """What a node does first where a version takes another's place (TensorFlow Serving's version policies)."""

    #: The new one is loaded beside the old one, which answers until then: nobody notices, and memory holds both.
    LOAD_FIRST = "load-first"
    #: The old one is unloaded before the new one is loaded: that served name does not answer meanwhile. For pools whose
    #: memory does not hold both. Their generations list one version of a name; where one lists two, both are loaded.
    UNLOAD_FIRST = "unload-first"


class DesiredVersion(Frozen):
    """One version that every node of the pool shall have loaded."""

    version: int = Field(gt=0)
    digest: Digest
    #: The rollout that brought it.
    rollout_id: str


class DesiredModel(Frozen):
    """One served name: its versions, oldest first, its labels, and who answers requests that choose no version."""

    name: str
    versions: tuple[DesiredVersion, ...] = Field(min_length=1)
    labels: dict[str, int] = Field(default_factory=dict)
    #: Percent of the requests that choose no version, by label; what is left goes to `stable`.
    split: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _labels_name_listed_versions(self) -> DesiredModel:
        split_served_name(self.name)
        numbers = [entry.version for entry in self.versions]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"versions of {self.name} must be ascending and unique, not {numbers}")
        for label, version in self.labels.items():
            if version not in numbers:
                raise ValueError(f"label {label!r} of {self.name} names version {version}, which is not listed")
        return self

    @model_validator(mode="after")
    def _split_names_labels(self) -> DesiredModel:
        for label in self.split:
            if label == STABLE or label not in self.labels:
                raise ValueError(f"split of {self.name} names {label!r}, which is no label beside {STABLE!r}")
        if self.split and (self.stable is None or sum(self.split.values()) > 100):
            raise ValueError(f"split of {self.name} must leave the rest to {STABLE!r}, which it has not")
        return self

    @model_serializer(mode="wrap")
    def _without_an_empty_split(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Nodes of before refuse fields that they do not know; so they only meet it where it is used.
        document: dict[str, object] = plain(self)
        if not self.split:
            del document["split"]
        return document

    @property
    def stable(self) -> int | None:
        """The version that answers unversioned requests, or None while none does."""
        return self.labels.get(STABLE)

    def has(self, version: int) -> bool:
        """Whether that version is listed."""
        return any(entry.version == version for entry in self.versions)

    def prefix(self, version: int) -> str:
        """Object-store prefix of one version."""
        customer, model = split_served_name(self.name)
        return version_prefix(customer, model, version)


class DesiredState(Frozen):
    """All that a pool serves, at one generation."""

    schema_version: int = 1
    pool: PoolId
    generation: int = Field(ge=0)
    models: tuple[DesiredModel, ...] = ()
    #: Why this generation was written, one sentence.
    reason: str = ""
    loading: LoadingOrder = LoadingOrder.LOAD_FIRST

    @model_validator(mode="after")
    def _names_are_sorted_and_unique(self) -> DesiredState:
        names = [model.name for model in self.models]
        if names != sorted(set(names)):
            raise ValueError("models must be sorted by name and listed once")
        return self

    @model_serializer(mode="wrap")
    def _without_the_usual_order(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        # As with a split: nodes of before meet the field only where it is used.
        document: dict[str, object] = plain(self)
        if self.loading is LoadingOrder.LOAD_FIRST:
            del document["loading"]
        return document

    def model(self, name: str) -> DesiredModel | None:
        """The entry of a served name, if it is served. They are sorted, so finding one costs little among thousands."""
        place = bisect_left(self.models, name, key=attrgetter("name"))
        found = self.models[place] if place < len(self.models) else None
        return found if found is not None and found.name == name else None

    def holding(self, models: tuple[DesiredModel, ...]) -> DesiredState:
        """The same with these entries, sorted by name. Each was checked when it was made, and is not checked again."""
        return self.model_copy(update={"models": models})

    def encoded(self) -> bytes:
        """Bytes of `desired.json`: compact JSON with sorted keys."""
        return compact(self.model_dump(mode="json")).encode() + b"\n"

    @classmethod
    def decoded(cls, content: bytes) -> DesiredState:
        """Parse `desired.json`. Raises pydantic's ValidationError where it breaks the contract."""
        return cls.received(content)

    @classmethod
    def empty(cls, pool: str) -> DesiredState:
        """A pool that serves nothing yet."""
        return cls(pool=pool, generation=0)
