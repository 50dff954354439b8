"""Which versions to load and which to unload: decided purely, from what is wanted and how things stand.

The rule is the official server's availability-preserving one: a new version is loaded while the old one serves; the old
one goes when a wanted version serves, or when none is wanted at all. So a model is never left without a version because
its newest one fails to load. Of several that nobody wants any more, the highest is kept that long.
"""

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from serving.model_server.configuration import VersionPolicy

_VERSION = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)


class Phase(enum.Enum):
    """How far the lifecycle is with one version."""

    NEW = enum.auto()  #: wanted at some time, not yet started
    LOADING = enum.auto()
    READY = enum.auto()
    UNLOADING = enum.auto()
    FAILED = enum.auto()  #: its load ended with an error; it is not tried again while it stays wanted
    GONE = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do next for one model; versions to load come newest first, those to unload oldest first."""

    load: tuple[int, ...]
    unload: tuple[int, ...]
    forget: tuple[int, ...]


def plan(wanted: Collection[int], phases: Mapping[int, Phase]) -> Plan:
    """Decide for one model, from the wanted versions and the phase of each version that was ever started."""
    serving = any(phases.get(version) is Phase.READY for version in wanted)
    unwanted = {version: phase for version, phase in phases.items() if version not in wanted}
    outlived = sorted(version for version, phase in unwanted.items() if phase is Phase.READY)
    return Plan(
        load=tuple(sorted((v for v in wanted if phases.get(v, Phase.NEW) in (Phase.NEW, Phase.GONE)), reverse=True)),
        unload=tuple(outlived if serving or not wanted else outlived[:-1]),
        forget=tuple(v for v, phase in unwanted.items() if phase in (Phase.NEW, Phase.FAILED, Phase.GONE)),
    )


def choose_versions(policy: VersionPolicy, found: Iterable[int]) -> frozenset[int]:
    """Return which of the versions found on disk the policy wants. Those it names and disk lacks are left out."""
    versions = frozenset(found)
    if policy.kind == "all":
        return versions
    if policy.kind == "specific":
        return versions & policy.versions
    return frozenset(sorted(versions, reverse=True)[: policy.count])


def version_of(directory: str) -> int | None:
    """Return the version that a directory's name says (`00001` is 1), or None where the name is not a decimal int64.

    As officially a sign and white space around the number are read too.
    """
    if not _VERSION.fullmatch(directory):
        return None
    version = int(directory)
    return version if -(2**63) <= version < 2**63 else None
