"""Looks at the base paths, once or again and again, and says which versions are wanted of each model."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from serving.model_server.configuration import ModelEntry
from serving.model_server.planning import choose_versions, version_of

_LOG = logging.getLogger(__name__)

#: Wanted versions of each model, with the directory of each.
Wanted = dict[str, dict[int, Path]]


def find_versions(base_path: str) -> dict[int, Path]:
    """Return the version directories below a base path. Raises OSError where it cannot be listed."""
    found: dict[int, Path] = {}
    with os.scandir(base_path) as entries:
        for entry in entries:
            version = version_of(entry.name)
            if version is not None and entry.is_dir():
                found[version] = Path(entry.path)
    return found


class DiskSource:
    """Polls the base paths of the configured models and hands what is wanted to `on_wanted`.

    One poll covers every model and hands over nothing where one base path cannot be listed, as in the official server:
    a missing path stalls all models until it is there.
    """

    def __init__(self, *, poll_seconds: float, on_wanted: Callable[[Wanted], None]) -> None:
        self._poll_seconds = poll_seconds
        self._on_wanted = on_wanted
        self._models: Mapping[str, ModelEntry] = {}
        self._polled = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="disk-source", daemon=True)

    def start(self) -> None:
        """Begin to poll every `poll_seconds`; zero or less means that nothing is polled after the first time."""
        if self._poll_seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """End the polling."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def follow(self, models: Mapping[str, ModelEntry]) -> None:
        """Follow these models from now on, and look at once, so that a new version starts to load with the reload."""
        self._models = models
        if self._poll_seconds > 0 or not self._polled:
            self.poll()

    def poll(self) -> None:
        """Look at every base path once. A path that cannot be listed is logged, and nothing changes."""
        with self._lock:
            wanted: Wanted = {}
            for entry in self._models.values():
                try:
                    found = find_versions(entry.base_path)
                except OSError as error:
                    _LOG.error(
                        "Could not find base path %s for servable %s: %s", entry.base_path, entry.name, error.strerror
                    )
                    return
                wanted[entry.name] = _wanted(entry, found)
            self._polled = self._polled or bool(self._models)
            self._on_wanted(wanted)

    def _run(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            self.poll()


def _wanted(entry: ModelEntry, found: dict[int, Path]) -> dict[int, Path]:
    chosen = choose_versions(entry.policy, found)
    missing = entry.policy.versions - chosen
    if missing:
        _LOG.warning(
            "Version(s) %s of servable %s, which was requested to be served as a 'specific' version in the servable's "
            "version policy, was not found in the file system",
            sorted(missing),
            entry.name,
        )
    if not found:
        _LOG.warning(
            "No versions of servable %s found under base path %s. Did you forget to name your leaf directory as a "
            "number (eg. '/1/')?",
            entry.name,
            entry.base_path,
        )
    return {version: found[version] for version in chosen}
