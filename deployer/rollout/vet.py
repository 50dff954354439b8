"""STORED to VETTED: is it allowed to run, and would it fit where it shall serve? Nothing is loaded here."""

from __future__ import annotations

from concurrent.futures import Executor

from deployer.domain import compatibility
from deployer.rollout.graph import vet_graph
from deployer.rollout.outcome import Moved, Outcome
from deployer.rollout.parts import Parts
from deployer.rollout.store import ManifestMissing, compare, read_manifest
from roost.contracts.errors import ArtifactInvalid
from roost.contracts.ids import version_prefix
from roost.contracts.manifest import SAVED_MODEL_NAME, ArtifactManifest, digest_of
from roost.contracts.rollout import Phase, Rollout

#: A text-format graph that the model server would prefer to the vetted one.
_TEXT_GRAPH = "saved_model.pbtxt"


class VetStep:
    """The handler of STORED."""

    def __init__(self, parts: Parts, readers: Executor) -> None:
        """`readers` read one artifact's objects side by side."""
        self._parts = parts
        self._readers = readers

    def advance(self, rollout: Rollout) -> Outcome:
        """VETTED, or REJECTED naming what is wrong."""
        parts = self._parts
        started = parts.clock.monotonic()
        try:
            operators = self._vet(rollout)
        except ArtifactInvalid as error:
            return Moved.one(parts.move(rollout, Phase.REJECTED, parts.cause(rollout, str(error))))
        cause = parts.cause(
            rollout,
            f"Vetted: {operators} different operators, all allowed; signature, size and digest in order.",
            facts={"seconds": round(parts.clock.monotonic() - started, 4)},
        )
        return Moved.one(parts.move(rollout, Phase.VETTED, cause))

    def _vet(self, rollout: Rollout) -> int:
        parts = self._parts
        entry = parts.ledger.quarantined(rollout.digest)
        if entry is not None:
            raise ArtifactInvalid(f"The digest is quarantined by {entry.actor}: {entry.reason}")
        prefix = version_prefix(rollout.customer, rollout.model, rollout.version)
        read = self._readers.submit
        listed = read(lambda: {one.name.removeprefix(prefix): one for one in parts.store.list(prefix)})
        live, graph = read(live_manifest, parts, rollout), read(parts.store.read, prefix + SAVED_MODEL_NAME)
        content, manifest = read_manifest(parts.store, prefix)
        if digest_of(content) != rollout.digest:
            raise ArtifactInvalid(f"The stored manifest has digest {digest_of(content)}, not {rollout.digest}")
        if any(file.path.rpartition("/")[2] == _TEXT_GRAPH for file in manifest.files):
            raise ArtifactInvalid(f"{_TEXT_GRAPH} is not allowed: export the binary {SAVED_MODEL_NAME} only")
        compare(manifest, listed.result())
        before = live.result()
        broken = None if before is None else compatibility.breaks(before, manifest)
        if broken is not None:
            raise ArtifactInvalid(f"A client of the live version would break. {broken}")
        return vet_graph(graph.result()[0])


def live_manifest(parts: Parts, rollout: Rollout) -> ArtifactManifest | None:
    """Manifest of what is live under the rollout's name; None where nothing is, or its objects are gone."""
    live = parts.ledger.live(rollout.customer, rollout.model)
    if live is None:
        return None
    prefix = version_prefix(live.customer, live.model, live.version)
    try:
        return read_manifest(parts.store, prefix)[1]
    except ManifestMissing:
        return None
