"""Uploads an artifact to `staging/<customer>/<model>/<run_id>/`, so that half of one never counts.

Every object is created once and never replaced; `saved_model.pb` comes last but for `MANIFEST.json`, without which an
artifact does not exist. An attempt that died leaves objects behind and no manifest: the next attempt of the same run
takes the next id (``<run_id>~2``) and leaves them alone, so that two attempts alive at once cannot mix.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from roost.contracts.errors import ArtifactInvalid, NotFound
from roost.contracts.ids import MOST_ATTEMPTS, attempts_of, check_run_id, staging_prefix
from roost.contracts.manifest import MANIFEST_NAME, SAVED_MODEL_NAME, ArtifactManifest
from roost.ports.object_store import ObjectStore
from training.export import Artifact

log = logging.getLogger(__name__)

_UPLOADS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A complete artifact in the object store."""

    uri: str
    manifest: ArtifactManifest


def next_attempt(store: ObjectStore, customer: str, model: str, run_id: str) -> str | Staged:
    """The id under which this attempt of the run shall stage, or what an earlier attempt has staged completely.

    Raises:
        ArtifactInvalid: the run was attempted implausibly often.
    """
    for attempt in attempts_of(run_id):
        name = check_run_id(attempt)
        prefix = staging_prefix(customer, model, name)
        found = staged(store, prefix)
        if found is not None:
            return found
        if next(iter(store.list(prefix)), None) is None:
            return name
        log.info("%s was left unfinished", prefix, extra={"action": "stage_skipped", "customer": customer})
    raise ArtifactInvalid(f"run {run_id} of {customer} was left unfinished {MOST_ATTEMPTS} times: start a new run")


def staged(store: ObjectStore, prefix: str) -> Staged | None:
    """The artifact under that prefix, if it is complete.

    Raises:
        ArtifactInvalid: its manifest is not one.
    """
    try:
        content, _ = store.read(prefix + MANIFEST_NAME)
    except NotFound:
        return None
    try:
        manifest = ArtifactManifest.received(content)
    except ValidationError as error:
        raise ArtifactInvalid(f"{store.uri(prefix + MANIFEST_NAME)} is not a manifest: {error}") from error
    return Staged(uri=store.uri(prefix), manifest=manifest)


def stage(store: ObjectStore, artifact: Artifact) -> Staged:
    """Upload the artifact.

    Raises:
        Conflict: another attempt stages under the same run id now.
        StorageUnavailable: the store did not take an object by its deadline.
    """
    manifest = artifact.manifest
    prefix = staging_prefix(manifest.customer, manifest.model, manifest.run.run_id)
    first = [file.path for file in manifest.files if file.path != SAVED_MODEL_NAME]
    with ThreadPoolExecutor(_UPLOADS) as uploads:
        list(uploads.map(lambda path: _put(store, artifact, prefix, path), first))
    _put(store, artifact, prefix, SAVED_MODEL_NAME)
    store.write(prefix + MANIFEST_NAME, manifest.encoded(), if_generation=0)
    log.info("staged %s", prefix, extra={"action": "staged", "customer": manifest.customer, "model": manifest.model})
    return Staged(uri=store.uri(prefix), manifest=manifest)


def _put(store: ObjectStore, artifact: Artifact, prefix: str, path: str) -> None:
    stored = store.write_from(prefix + path, artifact.directory / path, if_generation=0)
    expected = next(file for file in artifact.manifest.files if file.path == path)
    if (stored.size, stored.crc32c) != (expected.size, expected.crc32c):
        raise ArtifactInvalid(f"{store.uri(prefix + path)} is not what was uploaded: stage again under a new run id")
