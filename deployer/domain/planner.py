"""The planner: from a pool's desired state and a set of wanted changes to the next desired state.

Each change is a pure function on one served name's entry; `plan` applies many of them at a cost that grows linearly
with the pool. No change ever touches another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel, DesiredState, DesiredVersion, LoadingOrder
from roost.contracts.errors import Conflict

Entry = DesiredModel | None


class NotListed(Conflict):
    """A change names a version that the desired state does not list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """List a version beside what is there; no label moves."""

    name: str
    version: DesiredVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Let a listed version answer; the one that answered stays listed as `previous`."""

    name: str
    version: int
    #: Percent of the requests without a version that the previous one goes on answering.
    previous_percent: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Let a version take the place of all that is listed, and answer: in a pool that unloads first."""

    name: str
    version: DesiredVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Keep only the version that answers."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Take a version out. Where it answers, `to` answers instead; without a `to` the name is no longer served."""

    name: str
    version: int
    to: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolate:
    """List exactly this version and no label: a candidate on the canary pool."""

    name: str
    version: DesiredVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Serve the name no longer."""

    name: str


Change = Load | Flip | Swap | Settle | RollBack | Isolate | Remove


def load(entry: Entry, name: str, version: DesiredVersion) -> DesiredModel:
    """The entry with that version listed. One that is listed already changes nothing."""
    if entry is None:
        return DesiredModel(name=name, versions=(version,))
    if entry.has(version.version):
        return entry
    listed = sorted((*entry.versions, version), key=lambda one: one.version)
    return DesiredModel(name=name, versions=tuple(listed), labels=entry.labels, split=entry.split)


def flip(entry: Entry, name: str, version: int, previous_percent: float = 0) -> DesiredModel:
    """The entry with `stable` at that version and `previous` at the one that was stable, with its share of requests.

    Raises:
        NotListed: if the version is not listed.
    """
    if entry is None or not entry.has(version):
        raise NotListed(f"{name} cannot answer with version {version}: it is not listed")
    if entry.stable == version:
        return entry
    if entry.stable is None:
        return DesiredModel(name=name, versions=entry.versions, labels={STABLE: version})
    labels = {STABLE: version, PREVIOUS: entry.stable}
    split = {PREVIOUS: previous_percent} if previous_percent > 0 else {}
    return DesiredModel(name=name, versions=entry.versions, labels=labels, split=split)


def swap(name: str, version: DesiredVersion) -> DesiredModel:
    """An entry of exactly that version, which answers."""
    return DesiredModel(name=name, versions=(version,), labels={STABLE: version.version})


def settle(entry: Entry) -> Entry:
    """The entry with only its stable version. An entry that answers nothing stays as it is."""
    if entry is None or entry.stable is None:
        return entry
    if len(entry.versions) == 1 and entry.labels == {STABLE: entry.stable}:
        return entry
    kept = tuple(one for one in entry.versions if one.version == entry.stable)
    return DesiredModel(name=entry.name, versions=kept, labels={STABLE: entry.stable})


def roll_back(entry: Entry, version: int, to: int | None) -> Entry:
    """The entry without that version; where it was stable, `to` is.

    Raises:
        NotListed: if it was stable and `to` is not listed.
    """
    if entry is None or not entry.has(version):
        return entry
    if entry.stable == version and to is None:
        return None
    if entry.stable == version and to is not None and not entry.has(to):
        raise NotListed(f"{entry.name} cannot return to version {to}: it is not listed")
    kept = tuple(one for one in entry.versions if one.version != version)
    if not kept:
        return None
    stable = to if entry.stable == version else entry.stable
    labels = {label: number for label, number in entry.labels.items() if number not in {version, stable}}
    if stable is not None:
        labels[STABLE] = stable
    split = {label: percent for label, percent in entry.split.items() if label in labels and stable is not None}
    return DesiredModel(name=entry.name, versions=kept, labels=labels, split=split)


def isolate(name: str, version: DesiredVersion) -> DesiredModel:
    """An entry of exactly that version."""
    return DesiredModel(name=name, versions=(version,))


def remove() -> Entry:
    """No entry."""
    return None


def apply(entry: Entry, change: Change) -> Entry:
    """The entry after one change. Raises `NotListed` as the change does."""
    after: Entry
    match change:
        case Load(name=name, version=version):
            after = load(entry, name, version)
        case Flip(name=name, version=number, previous_percent=percent):
            after = flip(entry, name, number, percent)
        case Swap(name=name, version=version):
            after = swap(name, version)
        case Settle():
            after = settle(entry)
        case RollBack(version=number, to=to):
            after = roll_back(entry, number, to)
        case Isolate(name=name, version=version):
            after = isolate(name, version)
        case _:
            after = remove()
    return after


def plan(
    current: DesiredState, changes: Sequence[Change], reason: str, loading: LoadingOrder | None = None
) -> DesiredState:
    """The next desired state, its generation one more; `current` itself where the changes change nothing.

    `loading` None keeps the order that the pool has.
    """
    entries: dict[str, DesiredModel] = {model.name: model for model in current.models}
    changed = False
    for change in changes:
        before = entries.get(change.name)
        after = apply(before, change)
        if after == before:
            continue
        changed = True
        if after is None:
            del entries[change.name]
        else:
            entries[change.name] = after
    if not changed:
        return current
    following = DesiredState(
        pool=current.pool,
        generation=current.generation + 1,
        reason=reason,
        loading=loading or current.loading,
    )
    return following.holding(tuple(entries[name] for name in sorted(entries)))
