"""RECEIVED to STORED: allocate a version, copy the staged artifact, and verify it by reading back.

The staged files are compared with the manifest before a byte is copied, and the copies after. Copies are create-only,
the manifest last: a version without one does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from deployer.domain import supersede
from deployer.rollout.outcome import Moved, Outcome
from deployer.rollout.parts import Parts
from roost.contracts.errors import ArtifactInvalid, Conflict, NotFound
from roost.contracts.ids import staging_prefix, version_prefix
from roost.contracts.manifest import MANIFEST_NAME, ArtifactManifest, ManifestFile, digest_of
from roost.contracts.rollout import Phase, Rollout
from roost.ports.object_store import ObjectStore, StoredObject


class ManifestMissing(ArtifactInvalid):
    """There is no manifest: without one an artifact does not exist."""


class StoreStep:
    """The handler of RECEIVED."""

    def __init__(self, parts: Parts, copiers: ThreadPoolExecutor) -> None:
        """`copiers` copy the files of one artifact side by side."""
        self._parts = parts
        self._copiers = copiers

    def advance(self, rollout: Rollout) -> Outcome:
        """STORED, or SUPERSEDED before anything is copied, or REJECTED naming the file."""
        parts = self._parts
        older = supersede.by_live(rollout, parts.ledger.live(rollout.customer, rollout.model))
        if older is not None:
            return Moved.one(parts.move(rollout, Phase.SUPERSEDED, parts.cause(rollout, older)))
        started = parts.clock.monotonic()
        try:
            content, manifest = self._staged(rollout)
            version = parts.ledger.allocate_version(rollout.id)
            self._copy(rollout, manifest, content, version)
        except ArtifactInvalid as error:
            return Moved.one(parts.move(rollout, Phase.REJECTED, parts.cause(rollout, str(error))))
        cause = parts.cause(
            rollout,
            f"Stored as version {version}: {len(manifest.files)} files, {manifest.size} bytes, all verified.",
            facts={
                "seconds": round(parts.clock.monotonic() - started, 4),
                "files": len(manifest.files),
                "bytes": manifest.size,
            },
        )
        return Moved.one(parts.move(rollout, Phase.STORED, cause, version=version))

    def _staged(self, rollout: Rollout) -> tuple[bytes, ArtifactManifest]:
        prefix = staging_prefix(rollout.customer, rollout.model, rollout.run_id)
        store = self._parts.store
        if rollout.artifact_uri != store.uri(prefix):
            raise ArtifactInvalid(f"The artifact is at {rollout.artifact_uri}, and must be at {store.uri(prefix)}")
        content, manifest = read_manifest(store, prefix)
        if digest_of(content) != rollout.digest:
            raise ArtifactInvalid(
                f"{MANIFEST_NAME} has digest {digest_of(content)}, and the event announced {rollout.digest}"
            )
        owner = (manifest.customer, manifest.model, manifest.run.run_id)
        if owner != (rollout.customer, rollout.model, rollout.run_id):
            raise ArtifactInvalid(f"{MANIFEST_NAME} is of {'/'.join(owner)}, not of this rollout")
        budget = self._parts.rules(rollout).max_artifact_mb
        if manifest.size > budget * 2**20:
            raise ArtifactInvalid(f"The artifact has {manifest.size} bytes; the policy allows {budget:g} MB")
        compare(manifest, {one.name.removeprefix(prefix): one for one in store.list(prefix)})
        return content, manifest

    def _copy(self, rollout: Rollout, manifest: ArtifactManifest, content: bytes, version: int) -> None:
        source = staging_prefix(rollout.customer, rollout.model, rollout.run_id)
        target = version_prefix(rollout.customer, rollout.model, version)
        copies = self._copiers.map(lambda file: self._copy_one(source, target, file), manifest.files)
        for file, copied in zip(manifest.files, copies, strict=True):
            _same(file, copied)
        store = self._parts.store
        try:
            store.write(target + MANIFEST_NAME, content, if_generation=0, metadata={"write_id": rollout.id})
        except Conflict:
            found, _ = store.read(target + MANIFEST_NAME)
            if found != content:
                raise ArtifactInvalid(f"{target}{MANIFEST_NAME} exists already and is another one") from None

    def _copy_one(self, source: str, target: str, file: ManifestFile) -> StoredObject:
        store = self._parts.store
        try:
            return store.copy(source + file.path, target + file.path, if_generation=0)
        except Conflict:
            # An earlier try copied it, or its response was lost: what is there is compared like a fresh copy.
            found = store.stat(target + file.path)
            if found is None:
                raise
            return found
        except NotFound as error:
            raise ArtifactInvalid(f"{file.path} vanished from the staged artifact") from error


def read_manifest(store: ObjectStore, prefix: str) -> tuple[bytes, ArtifactManifest]:
    """Bytes and content of the manifest under `prefix`.

    Raises:
        ManifestMissing: there is none.
        ArtifactInvalid: it does not parse; naming where.
    """
    try:
        content, _ = store.read(prefix + MANIFEST_NAME)
    except NotFound as error:
        raise ManifestMissing(f"{MANIFEST_NAME} is missing under {store.uri(prefix)}") from error
    try:
        return content, ArtifactManifest.received(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = "is truncated or not JSON" if first["type"] == "json_invalid" else f"is wrong at {where}"
        raise ArtifactInvalid(f"{MANIFEST_NAME} {what}: {first['msg']}") from error


def compare(manifest: ArtifactManifest, found: Mapping[str, StoredObject]) -> None:
    """Raise `ArtifactInvalid` naming the first file that is missing, undeclared, or not what the manifest says."""
    for file in manifest.files:
        if file.path not in found:
            raise ArtifactInvalid(f"{file.path} is missing from the artifact")
        _same(file, found[file.path])
    declared = {file.path for file in manifest.files} | {MANIFEST_NAME}
    extra = sorted(found.keys() - declared)
    if extra:
        raise ArtifactInvalid(f"{extra[0]} is not declared in {MANIFEST_NAME}")


def _same(file: ManifestFile, found: StoredObject) -> None:
    if found.size != file.size:
        raise ArtifactInvalid(f"{file.path} has {found.size} bytes; {MANIFEST_NAME} says {file.size}")
    if found.crc32c != file.crc32c:
        raise ArtifactInvalid(f"{file.path} has CRC32C {found.crc32c}; {MANIFEST_NAME} says {file.crc32c}")
