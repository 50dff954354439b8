"""What the node holds: versions that are wanted or still loaded, and the labels that the model server has accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from roost.contracts.acks import NodeVersion, VersionState
from roost.contracts.desired import STABLE, DesiredModel, DesiredState, DesiredVersion, LoadingOrder
from serving.node.cache import DiskCache
from serving.node.integrity import Key
from serving.node.model_config import ModelEntry

#: Versions that the model server is asked to have; FAILED ones are left out, so that they are unloaded.
_ASKED_FOR = (VersionState.LOADING, VersionState.PROVEN)


#: Proved versions and accepted labels, of one served name and by served name.
Facts = tuple[list[DesiredVersion], dict[str, int]]
Good = dict[str, Facts]


@dataclass(slots=True, kw_only=True)
class Held:
    """One version on this node. Times are the clock's monotonic seconds."""

    name: str
    entry: DesiredVersion
    #: Listed in the desired state.
    wanted: bool = True
    state: VersionState = VersionState.PENDING
    #: In the list that the model server was last given.
    loaded: bool = False
    #: When its download began, and when the server was asked to load it.
    began: float
    asked: float = 0.0
    #: The server remembers an earlier end of it, which must not pass for the end of this load.
    ended_before: bool = False
    #: The server died while it loaded, with others: next time it loads by itself, so that the guilty one is known.
    alone: bool = False
    #: Has been proved here: good enough to start a server with.
    trusted: bool = False
    seconds: float | None = None
    memory_bytes: int | None = None
    error: str | None = None
    #: Failed downloads so far, and when to try again; None where trying again would not help.
    attempts: int = 0
    retry_at: float | None = None
    #: It is only this node, or only for now, that cannot have it: a node that starts so must not be ready.
    ours_to_blame: bool = False
    _shown: NodeVersion | None = None

    @property
    def key(self) -> Key:
        """Served name and version."""
        return self.name, self.entry.version

    @property
    def proven(self) -> bool:
        """Loaded, and has answered."""
        return self.state is VersionState.PROVEN

    @property
    def on_disk(self) -> bool:
        """Ready to be loaded, and not asked for yet."""
        return self.state is VersionState.LOADING and not self.loaded

    @property
    def done(self) -> bool:
        """Nothing more will come of it by itself."""
        return self.state in {VersionState.PROVEN, VersionState.FAILED}

    def shown(self) -> NodeVersion:
        """What the node says of it. The same object as long as that stays the same."""
        last = self._shown
        now = (self.state, self.seconds, self.memory_bytes, self.error)
        if last is None or now != (last.state, last.seconds, last.memory_bytes, last.error):
            state, seconds, memory_bytes, error = now
            last = self._shown = NodeVersion(
                version=self.entry.version, state=state, seconds=seconds, memory_bytes=memory_bytes, error=error
            )
        return last

    def fail(self, error: str, *, retry_at: float | None = None) -> None:
        """It will not come, or not for now."""
        self.state, self.error, self.retry_at, self.trusted = VersionState.FAILED, error, retry_at, False


@dataclass(slots=True, kw_only=True)
class Holdings:
    """For one thread, but for `in_use`."""

    desired: DesiredState
    versions: dict[Key, Held] = field(default_factory=dict)
    #: Accepted by the model server, by served name.
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    #: The same as last accepted, also while no server runs: what the next one is started with.
    boot_labels: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Last known `stable`, also while no server runs, and when it came to be.
    stable: dict[str, int] = field(default_factory=dict)
    flipped_at: dict[str, datetime] = field(default_factory=dict)
    #: Versions that stopped being `stable`, with the monotonic time of it.
    left_stable: dict[Key, float] = field(default_factory=dict)
    #: Served name and label that the gateway sent requests to a moment ago, with the monotonic time until which some of
    #: them may be under way. The label stays so long.
    still_asked: dict[tuple[str, str], float] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Held]:
        return iter(self.versions.values())

    def in_use(self) -> frozenset[Key]:
        """What must stay in the cache."""
        return frozenset(self.versions.copy())

    def take_up(self, desired: DesiredState, *, now: float) -> None:
        """Follow a new desired state: new versions are PENDING, others lose their claim."""
        self.desired = desired
        wanted = {(model.name, entry.version): (model, entry) for model in desired.models for entry in model.versions}
        for key, (model, entry) in wanted.items():
            held = self.versions.get(key)
            if held is None or (held.entry.digest != entry.digest and not held.loaded):
                self.versions[key] = Held(name=model.name, entry=entry, began=now)
                continue
            held.wanted = True
            if held.entry.digest == entry.digest:
                held.entry = entry
            else:
                held.fail(
                    f"it is loaded with digest {held.entry.digest}, not {entry.digest}: versions are never reused"
                )
        unwanted = [(key, held) for key, held in self.versions.items() if key not in wanted]
        for key, held in unwanted:
            held.wanted = False
            # What answers stays until its successor is proved, also where a restart has just unloaded it.
            answers = self.stable.get(held.name) == key[1] and desired.model(held.name) is not None
            if not (held.loaded or answers):
                del self.versions[key]

    def lose_server(self) -> list[Held]:
        """Nothing is loaded any more. Returns what was being loaded, or proved, when that happened."""
        suspects = [held for held in self if held.loaded and held.state is VersionState.LOADING]
        for key, held in list(self.versions.items()):
            held.loaded = held.ended_before = False
            if held.proven:
                held.state = VersionState.LOADING
            if not held.wanted and self.stable.get(held.name) != key[1]:
                del self.versions[key]
        self.labels = {}
        return suspects

    def came_up(self, booted: Iterable[ModelEntry], *, now: float) -> None:
        """A server takes calls, and has been started on these models."""
        for entry in booted:
            for version in entry.versions:
                held = self.versions.get((entry.name, version))
                if held is not None:
                    held.loaded, held.asked = True, now

    def good(self) -> Good:
        """What is proved and accepted here, by served name: cheap to compare with what it was before."""
        proven: dict[str, list[DesiredVersion]] = {}
        for held in self._sorted():
            if held.state is VersionState.PROVEN:
                proven.setdefault(held.name, []).append(held.entry)
        return {name: (versions, self.labels.get(name, {})) for name, versions in proven.items()}

    def seed(self, good: DesiredState, cache: DiskCache, *, now: float) -> None:
        """Begin with what an earlier life of the node had proved, as far as the cache still has it."""
        for model in good.models:
            cached = [entry for entry in model.versions if cache.sound((model.name, entry.version), entry.digest)]
            for entry in cached:
                held = Held(name=model.name, entry=entry, began=now, state=VersionState.LOADING, trusted=True)
                self.versions[held.key] = held
            kept = desired_model(model.name, cached, model.labels) if cached else None
            if kept is not None:
                self.boot_labels[model.name] = dict(kept.labels)
            if kept is not None and kept.stable is not None:
                self.stable[model.name] = kept.stable

    def making_room(self) -> frozenset[Key]:
        """Loaded versions that leave before their successors are loaded, in a pool that unloads first."""
        if self.desired.loading is LoadingOrder.LOAD_FIRST:
            return frozenset()
        coming = {held.name for held in self if held.wanted and held.on_disk}
        return frozenset(held.key for held in self if held.loaded and not held.wanted and held.name in coming)

    def wanted_labels(self) -> dict[str, dict[str, int]]:
        """Labels as they can be now, by served name: a label whose version is not proved stays where it is."""
        leaving = self.making_room()
        found = {
            model.name: dict(model.labels) if self._as_desired(model) else self._labels_of(model, leaving)
            for model in self.desired.models
        }
        for name, label in self.still_asked:
            version = self._still_there(name, self.labels.get(name, {}).get(label), leaving)
            if version is not None and name in found:
                found[name].setdefault(label, version)
        return {name: labels for name, labels in found.items() if labels}

    def kept(self) -> frozenset[Key]:
        """Versions that are not wanted, and yet must stay loaded since a label still needs them."""
        if all(held.wanted for held in self):
            return frozenset()
        needed = {(name, version) for name, labels in self.wanted_labels().items() for version in labels.values()}
        needed |= {(name, version) for name, labels in self.labels.items() for version in labels.values()}
        return frozenset(key for key in needed if key in self.versions and not self.versions[key].wanted)

    def settled(self) -> bool:
        """Every wanted version is done, and every label that can be set is set."""
        awaited = (held for held in self if held.wanted or self.stable.get(held.name) == held.entry.version)
        return all(held.done for held in awaited) and self.labels == self.wanted_labels()

    def entries(
        self, cache: DiskCache, chosen: Callable[[Held], bool], labels: Mapping[str, Mapping[str, int]]
    ) -> list[ModelEntry]:
        """The model server's list: the chosen versions, by name, with these labels."""
        by_name: dict[str, list[int]] = {}
        for held in self._sorted():
            if held.state in _ASKED_FOR and chosen(held):
                by_name.setdefault(held.name, []).append(held.entry.version)
        return [
            ModelEntry(
                name=name,
                base_path=cache.base_path(name),
                versions=tuple(versions),
                labels={label: version for label, version in labels.get(name, {}).items() if version in versions},
            )
            for name, versions in by_name.items()
        ]

    def _sorted(self) -> Iterable[Held]:
        return (self.versions[key] for key in sorted(self.versions))

    def _as_desired(self, model: DesiredModel) -> bool:
        """Whether every version that a label names is proved: so it is of nearly all models at nearly all times."""
        versions = self.versions
        for version in model.labels.values():
            held = versions.get((model.name, version))
            if held is None or held.state is not VersionState.PROVEN:
                return False
        return True

    def _labels_of(self, model: DesiredModel, leaving: frozenset[Key]) -> dict[str, int]:
        accepted = self.labels.get(model.name, {})
        labels = {}
        for label, version in model.labels.items():
            held = self.versions.get((model.name, version))
            if held is not None and held.proven:
                labels[label] = version
            elif (before := self._still_there(model.name, accepted.get(label), leaving)) is not None:
                labels[label] = before
            elif label == STABLE:
                # After the server was replaced nothing is accepted yet; what answered before goes on answering.
                last = self._still_there(model.name, self.stable.get(model.name), leaving)
                labels |= {} if last is None else {label: last}
        return labels

    def _still_there(self, name: str, version: int | None, leaving: frozenset[Key]) -> int | None:
        held = self.versions.get((name, version)) if version is not None else None
        return version if held is not None and held.proven and held.key not in leaving else None


def desired_model(name: str, versions: Iterable[DesiredVersion], labels: Mapping[str, int]) -> DesiredModel:
    """These versions in the form of a desired state's entry, with those of the labels that name one of them."""
    listed = tuple(sorted(versions, key=lambda entry: entry.version))
    numbers = {entry.version for entry in listed}
    kept = {label: version for label, version in labels.items() if version in numbers}
    return DesiredModel(name=name, versions=listed, labels=kept)
