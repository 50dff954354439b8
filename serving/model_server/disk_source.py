"""Looks at the base paths, once or again and again, and says which versions are wanted of each model."""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.model_server.configuration import ModelEntry
from serving.model_server.planning import choose_versions, version_of

_LOG = logging.getLogger(__name__)

#: Wanted versions of each model, with the directory of each.
Wanted = dict[str, dict[int, Path]]


def versions_among(names: Iterable[str], base_path: str) -> dict[int, Path]:
    """Return what is called like a version below a base path, be it a directory or not: a file fails its load."""
    found: dict[int, Path] = {}
    for name in sorted(names):
        version = version_of(name)
        if version is None:
            continue
        if version in found:
            _LOG.warning(
                "Duplicate version directories detected. Version %s will be loaded from %s, %s will be ignored.",
                version,
                name,
                found[version].name,
            )
        found[version] = Path(base_path, name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How base paths are looked at: every so many seconds; once, at the first list, for zero; never for less.

    `at_reload` looks at once when the list changes, besides; without it a new model waits for the next look.
    """

    seconds: float
    at_reload: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is wanted of a model, and what that was made of. `names` None: it is looked into, and told of, each time."""

    entry: ModelEntry
    names: Sequence[str] | None
    wanted: dict[int, Path]


class DiskSource:
    """Polls the base paths of the configured models and hands what is wanted to `on_wanted`.

    One poll covers every model and hands over nothing where one base path cannot be listed, as in the official server:
    a missing path stalls all models until it is there. Models that leave the list are given up at once, all the same.
    """

    def __init__(self, *, polling: Polling, on_wanted: Callable[[Wanted], None]) -> None:
        self._polling = polling
        self._on_wanted = on_wanted
        self._models: Mapping[str, ModelEntry] | None = None
        self._wanted: Wanted = {}
        #: What was made of each model's entry and listing, where nothing was to be said about it: the next poll mostly
        #: finds the same, and thousands of models are polled every second.
        self._known: dict[str, _Known] = {}
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="disk-source", daemon=True)

    @property
    def names(self) -> frozenset[str]:
        """The models that are followed."""
        return frozenset(self._models or {})

    def stop(self) -> None:
        """End the polling."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def follow(self, models: Mapping[str, ModelEntry]) -> None:
        """Follow these models from now on. The first list begins the polling."""
        with self._lock:
            first = self._models is None
            self._models = models
            kept = {name: versions for name, versions in self._wanted.items() if name in models}
            if kept != self._wanted:
                self._tell(kept)
        seconds = self._polling.seconds
        if (first and seconds >= 0) or (seconds > 0 and self._polling.at_reload):
            self.poll()
        if first and seconds > 0:
            self._thread.start()

    def poll(self) -> None:
        """Look at every base path once. A path that cannot be listed is logged, and nothing changes."""
        with self._lock:
            known: dict[str, _Known] = {}
            for entry in (self._models or {}).values():
                try:
                    names = os.listdir(entry.base_path)  # noqa: PTH208  (half the time, thousands of times a second)
                except OSError as error:
                    _LOG.error(
                        "FileSystemStoragePathSource encountered a filesystem access error: %s", _what(entry, error)
                    )
                    return
                known[entry.name] = self._look(entry, names)
            self._known = {name: each for name, each in known.items() if each.names is not None}
            self._tell({name: each.wanted for name, each in known.items()})

    def _look(self, entry: ModelEntry, names: list[str]) -> _Known:
        before = self._known.get(entry.name)
        if before is not None and before.names == names and before.entry == entry:
            return before
        return _looked_into(entry, names)

    def _tell(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._on_wanted(wanted)

    def _run(self) -> None:
        while not self._stopped.wait(self._polling.seconds):
            self.poll()


def _what(entry: ModelEntry, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"Could not find base path {entry.base_path} for servable {entry.name} "
            f"with error NOT_FOUND: {entry.base_path} not found"
        )
    return f"{entry.base_path} for servable {entry.name}; {error.strerror}"


def _looked_into(entry: ModelEntry, names: Sequence[str]) -> _Known:
    found = versions_among(names, entry.base_path)
    chosen = choose_versions(entry.policy, found)
    missing = sorted(entry.policy.versions - chosen)
    for version in missing:
        _LOG.warning(
            "Version %s of servable %s, which was requested to be served as a 'specific' version in the servable's "
            "version policy, was not found in the file system",
            version,
            entry.name,
        )
    if not chosen:
        _LOG.warning(
            "No versions of servable %s found under base path %s. Did you forget to name your leaf directory as a "
            "number (eg. '/1/')?",
            entry.name,
            entry.base_path,
        )
    warned = bool(missing) or not chosen or len(found) < len(names)
    return _Known(
        entry=entry,
        names=None if warned else names,
        wanted={version: found[version] for version in chosen},
    )
