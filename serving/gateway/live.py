"""The files of a gateway that runs: written before it starts, and changed without closing a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from roost.contracts.errors import NodeUnavailable
from roost.ports.clock import Clock
from serving.gateway.admin import GatewayAdmin
from serving.gateway.configuration import CLUSTERS, Configuration, Part, as_text, clusters_of, digest_of

#: What Envoy is started with, in the gateway's directory.
BOOTSTRAP: Final = "envoy.json"
#: Between two looks at whether Envoy has taken a file up. Seconds.
_LOOK: Final = 0.002
#: Where Envoy says how many clusters are not ready, and which version of a file it goes by.
_WARMING: Final = "cluster_manager.warming_clusters"
_STATISTICS: Final = {CLUSTERS: "cluster_manager.cds.version_text"}


class LiveFiles:
    """What one gateway reads. For one thread."""

    def __init__(self, directory: Path, admin: GatewayAdmin, clock: Clock, *, deadline: float = 2.0) -> None:
        """`directory` is the gateway's alone. `deadline` in seconds: for Envoy to take up one change."""
        self._bootstrap = directory / BOOTSTRAP
        self._parts = directory / "live"
        self._admin = admin
        self._clock = clock
        self._deadline = deadline
        self._written: Configuration | None = None
        #: Digest of the bootstrap that was last written.
        self._started_with = ""
        #: Of the files that Envoy goes by, as far as that is known.
        self._versions: dict[str, str] = {}

    def start(self, configuration: Configuration) -> Path:
        """Write everything for a gateway that is about to start; what to start it with.

        Raises:
            OSError: the disk refuses.
        """
        self._parts.mkdir(parents=True, exist_ok=True)
        parts = configuration.parts()
        for part in parts.values():
            self._write(part)
        self._versions = {part.name: part.version for part in parts.values()}
        for file, content in configuration.beside.items():
            file.write_text(content)
        bootstrap = configuration.apart(self._parts)
        self._started_with = digest_of(bootstrap)
        # Last, and whole: a gateway beside the node starts as soon as it is there.
        fresh = self._bootstrap.with_suffix(".new")
        fresh.write_text(as_text(bootstrap))
        fresh.replace(self._bootstrap)
        self._written = configuration
        return self._bootstrap

    def taken_up(self) -> bool:
        """Whether Envoy goes by the files as they were last written, the one that it was started with among them.

        One that refuses a file starts all the same, says that it is ready, and answers 404 to everybody.
        """
        wanted = {_statistic(name): version for name, version in self._versions.items()}
        if not wanted.items() <= self._known().items():
            return False
        try:
            return self._admin.configuration() == self._started_with
        except NodeUnavailable:
            return False

    def change(self, configuration: Configuration) -> float:
        """Have a running gateway follow it, and return once it does: seconds that it took.

        New clusters are there before the routes that name them, and old ones until no route does.

        Raises:
            NodeUnavailable: Envoy did not take it up in time, or it is not there. What it then goes by is either the
                old or the new; calling again is safe.
            OSError: the disk refuses.
        """
        began = self._clock.monotonic()
        parts = configuration.parts()
        between = clusters_of([each for each in (self._written, configuration) if each is not None])
        self._move([between])
        self._move([part for name, part in parts.items() if name != CLUSTERS])
        self._move([parts[CLUSTERS]])
        self._written = configuration
        return self._clock.monotonic() - began

    def _move(self, parts: Iterable[Part]) -> None:
        changed = [part for part in parts if self._versions.get(part.name) != part.version]
        for part in changed:
            self._versions.pop(part.name, None)
            self._write(part)
        wanted = {_statistic(part.name): part.version for part in changed}
        if any(part.name == CLUSTERS for part in changed):
            # A new cluster answers once the health of its hosts was asked for.
            wanted[_WARMING] = "0"
        self._await(wanted)
        self._versions |= {part.name: part.version for part in changed}

    def _write(self, part: Part) -> None:
        # No fsync: whoever starts a gateway writes its files anew.
        fresh = self._parts / f".{part.name}.new"
        fresh.write_text(part.text)
        fresh.replace(self._parts / f"{part.name}.json")

    def _await(self, wanted: Mapping[str, str]) -> None:
        end = self._clock.monotonic() + self._deadline
        while wanted:
            if wanted.items() <= self._known().items():
                return
            if self._clock.monotonic() > end:
                raise NodeUnavailable(f"the gateway has not taken up {', '.join(wanted)} in {self._deadline:g} s")
            self._clock.wait(_LOOK)

    def _known(self) -> dict[str, str]:
        try:
            return self._admin.versions()
        except NodeUnavailable:
            # Envoy answers nothing while it reads a large file; requests go on meanwhile, in another thread of it.
            return {}


def _statistic(name: str) -> str:
    return _STATISTICS.get(name, f"http.{name}.rds.{name}.version_text")
