"""Brings versions from the object store into the cache."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from roost.contracts.desired import DesiredVersion
from roost.contracts.errors import ArtifactInvalid, RoostError
from roost.contracts.ids import served_name, split_served_name, version_prefix
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, ManifestFile, digest_of
from roost.telemetry import metrics
from serving.node.cache import DiskCache, DiskTrouble
from serving.node.files import sync_directory, sync_file
from serving.node.integrity import Key, check_file
from serving.node.source import Source
from serving.node.workers import Runner

log = logging.getLogger(__name__)

#: Sizes of the runners that a node uses.
VERSIONS_AT_ONCE: Final = 4
FILES_AT_ONCE: Final = 12


class Fetcher:
    """Copies one version at a time into the cache, its files in parallel. Safe for threads."""

    def __init__(self, store: Source, cache: DiskCache, incoming: Path, files: Runner) -> None:
        """Downloads stand in `incoming` until they are complete; what an earlier life left there is removed.

        `files` copies single files, and must not be what runs `fetch`, which waits for it.
        """
        self._store = store
        self._cache = cache
        self._incoming = incoming
        self._files = files
        for leftover in incoming.iterdir():
            shutil.rmtree(leftover, ignore_errors=True)

    def fetch(self, name: str, version: DesiredVersion) -> None:
        """Have the version in the cache, verified against its manifest and the manifest against `version.digest`.

        Raises:
            ArtifactInvalid: a file or the manifest is not what it should be; the text names it.
            NotFound: an object is missing.
            StorageUnavailable: the store does not answer.
            Retryable: no room, or the disk refuses.
        """
        key = (name, version.version)
        if self._cache.sound(key, version.digest):
            return
        prefix = version_prefix(*split_served_name(name), version.version)
        content, _ = self._store.read(prefix + MANIFEST_NAME)
        manifest = _checked_manifest(content, name, version.digest, self._store.uri(prefix + MANIFEST_NAME))
        directory = self._incoming / f"{name}.{version.version}.{uuid.uuid4().hex}"
        try:
            with self._cache.room_for(manifest.size + len(content)):
                directory.mkdir()
                self._copy(prefix, manifest, directory)
                (directory / MANIFEST_NAME).write_bytes(content)
                sync_file(directory / MANIFEST_NAME)
                _sync_names(directory)
                self._cache.admit(directory, key)
            metrics.NODE_DOWNLOADED.inc(manifest.size + len(content))
        except OSError as error:
            raise DiskTrouble(
                f"{name} version {key[1]} cannot be kept in {self._incoming}: {error.strerror}"
            ) from error
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _copy(self, prefix: str, manifest: ArtifactManifest, directory: Path) -> None:
        for file in manifest.files:
            (directory / file.path).parent.mkdir(parents=True, exist_ok=True)
        calls = [partial(self._copy_file, prefix + file.path, directory / file.path, file) for file in manifest.files]
        copies = [self._files.submit(call) for call in calls]
        wait(copies)
        for copy in copies:
            copy.result()

    def _copy_file(self, name: str, path: Path, file: ManifestFile) -> None:
        self._store.read_to(name, path)
        try:
            check_file(path, file)
        except ArtifactInvalid as error:
            raise ArtifactInvalid(f"{self._store.uri(name)}: {error}") from error
        sync_file(path)


class Downloads:
    """Fetches in the background, several versions in parallel."""

    def __init__(self, fetcher: Fetcher, workers: Runner, wake: Callable[[], None]) -> None:
        """`wake` is called whenever a download ends."""
        self._fetcher = fetcher
        self._wake = wake
        self._workers = workers
        self._running: dict[Key, Future[None]] = {}

    def start(self, name: str, version: DesiredVersion) -> None:
        """Begin, unless it is under way."""
        key = (name, version.version)
        if key not in self._running:
            future = self._workers.submit(partial(self._fetcher.fetch, name, version))
            self._running[key] = future
            future.add_done_callback(lambda _: self._wake())

    def finished(self) -> dict[Key, RoostError | None]:
        """What ended since the last call, each with None or why it failed. What is no `RoostError` is raised."""
        ended = {key: future for key, future in self._running.items() if future.done()}
        outcomes: dict[Key, RoostError | None] = {}
        for key, future in ended.items():
            del self._running[key]
            try:
                future.result()
                outcomes[key] = None
            except RoostError as error:
                outcomes[key] = error
        return outcomes


def _checked_manifest(content: bytes, name: str, digest: str, uri: str) -> ArtifactManifest:
    found = digest_of(content)
    if found != digest:
        raise ArtifactInvalid(f"{uri} has digest {found}, the desired state says {digest}")
    try:
        manifest = ArtifactManifest.received(content)
    except ValidationError as error:
        raise ArtifactInvalid(f"{uri} is not a manifest: {error.errors(include_url=False)[0]['msg']}") from error
    if served_name(manifest.customer, manifest.model) != name:
        raise ArtifactInvalid(f"{uri} belongs to {manifest.customer}.{manifest.model}, not to {name}")
    return manifest


def _sync_names(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
    sync_directory(directory)
