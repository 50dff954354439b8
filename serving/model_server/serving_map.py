"""Where a request finds the version that answers it: by number, by label, or the latest."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serving.model_server.statuses import failed_precondition, invalid_argument, not_found
from serving.model_server.version_states import State, VersionState

ServableT = TypeVar("ServableT")

#: Labels of each model: which version each of them names.
Labels = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """Which version of a model a request asks for; neither version nor label means the latest."""

    name: str
    version: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class _Versions(Generic[ServableT]):
    by_number: Mapping[int, ServableT] = field(default_factory=dict)
    latest: ServableT | None = None


class ServingVersions(Generic[ServableT]):
    """The versions that serve, and the labels. Each model's entry is replaced as a whole, so reads need no lock."""

    def __init__(self) -> None:
        self._models: dict[str, _Versions[ServableT]] = {}
        self._writing = threading.Lock()
        self.labels: Labels = {}

    def add(self, name: str, version: int, servable: ServableT) -> None:
        """Offer a version to requests."""
        with self._writing:
            self._replace(name, {**self._of(name).by_number, version: servable})

    def remove(self, name: str, version: int) -> None:
        """Offer it no longer."""
        with self._writing:
            kept = {number: each for number, each in self._of(name).by_number.items() if number != version}
            self._replace(name, kept)

    def find(self, request: ModelRequest) -> ServableT:
        """Return the version that a request asks for.

        Raises INVALID_ARGUMENT without a name or for an unknown label, NOT_FOUND where nothing such is served.
        """
        if not request.name:
            raise invalid_argument("ModelSpec has no name specified.")
        versions = self._models.get(request.name)
        number = self.labelled(request.name, request.label) if request.label else request.version
        if number is None:
            if versions is None or versions.latest is None:
                raise not_found(f"Servable not found for request: Latest({request.name})")
            return versions.latest
        found = versions.by_number.get(number) if versions else None
        if found is None:
            raise not_found(f"Servable not found for request: Specific({request.name}, {number})")
        return found

    def labelled(self, name: str, label: str) -> int:
        """Return the version that a label names. Raises INVALID_ARGUMENT for an unknown one."""
        version = self.labels.get(name, {}).get(label)
        if version is None:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return version

    def _of(self, name: str) -> _Versions[ServableT]:
        return self._models.get(name, _Versions())

    def _replace(self, name: str, by_number: dict[int, ServableT]) -> None:
        if by_number:
            self._models[name] = _Versions(by_number, by_number[max(by_number)])
        else:
            self._models.pop(name, None)


def check_labels(
    proposed: Labels,
    *,
    current: Labels,
    states: Mapping[str, Mapping[int, VersionState]],
    allow_unavailable: bool,
) -> None:
    """Check that each label names a version that is AVAILABLE.

    With `allow_unavailable` one that is unused, or that keeps the version it has, may name any.
    Raises FAILED_PRECONDITION for the first label that may not.
    """
    for name, labels in proposed.items():
        for label, version in labels.items():
            moves = current.get(name, {}).get(label, version) != version
            state = states.get(name, {}).get(version)
            available = state is not None and state.state is State.AVAILABLE
            if not available and (moves or not allow_unavailable):
                raise failed_precondition(
                    f"Request to assign label to version {version} of model {name}, "
                    "which is not currently available for inference"
                )
