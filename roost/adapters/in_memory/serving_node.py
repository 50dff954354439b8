"""One simulated serving node: takes up desired states as a real one does, without a model server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from roost.contracts.acks import NodeModel, NodeState, NodeVersion, VersionState
from roost.contracts.desired import STABLE, DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import NotFound, StorageUnavailable
from roost.contracts.ids import desired_object
from roost.contracts.manifest import MANIFEST_NAME, digest_of
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress


@dataclass(slots=True, kw_only=True)
class Faults:
    """What is wrong with a node. All of it can be set and cleared while a test runs."""

    #: Does not answer at all; keeps what it has and takes nothing up.
    down: bool = False
    #: Answers, and never settles anything new.
    hangs: bool = False
    #: Nudges do not arrive; polls do.
    deaf: bool = False
    #: From taking a generation up to having settled it.
    slow_seconds: float = 0.0
    #: What its model server did not give back.
    leaked_bytes: int = 0
    #: (served name, version) to the model server's error.
    load_errors: dict[tuple[str, int], str] = field(default_factory=dict)


class SimulatedNode:
    """A node of `InMemoryPool`. Not safe for threads by itself: the pool holds a lock."""

    def __init__(self, address: NodeAddress, store: ObjectStore, clock: Clock, *, check_artifacts: bool) -> None:
        self.address = address
        self.faults = Faults()
        self.draining = False
        self.restarts = 0
        self._store = store
        self._clock = clock
        self._check_artifacts = check_artifacts
        self._desired = DesiredState.empty(address.pool)
        self._models: dict[str, NodeModel] = {}
        self._settle_at: float | None = None
        self._error: str | None = None

    @property
    def generation(self) -> int:
        """The newest that it has taken up."""
        return self._desired.generation

    def take_up(self) -> None:
        """Read the desired object, as a nudge or a poll makes a node do. Older generations are refused."""
        if self.faults.down or self.faults.hangs:
            return
        try:
            content, _ = self._store.read(desired_object(self.address.pool))
        except (NotFound, StorageUnavailable) as error:
            self._error = str(error)
            return
        read = DesiredState.decoded(content)
        if read.generation < self.generation:
            self._error = f"generation {read.generation} is older than {self.generation}, which was taken up: refused"
            return
        self._error = None
        if read.generation > self.generation:
            self._desired = read
            self._settle_at = self._clock.monotonic() + self.faults.slow_seconds
        self.advance()

    def advance(self) -> None:
        """Settle what is due."""
        if self._settle_at is None or self.faults.hangs or self.faults.down:
            return
        if self._clock.monotonic() >= self._settle_at:
            self._settle()

    def seconds_to_settle(self) -> float | None:
        """Until the generation taken up is settled; None where that will not happen, 0 where it has."""
        if self.faults.hangs or self.faults.down:
            return None
        return 0.0 if self._settle_at is None else max(0.0, self._settle_at - self._clock.monotonic())

    def restart(self) -> None:
        """A fresh model server: everything is loaded again, from nothing."""
        self.restarts += 1
        self.draining = False
        self._models = {}
        self._settle_at = self._clock.monotonic() + self.faults.slow_seconds
        self.advance()

    def stable(self, name: str) -> int | None:
        """The version that answers unversioned requests."""
        model = self._models.get(name)
        return model.labels.get(STABLE) if model else None

    def has(self, name: str, version: int) -> bool:
        """Whether that version is loaded."""
        model = self._models.get(name)
        entry = model.state_of(version) if model else None
        return entry is not None and entry.state is VersionState.PROVEN

    def state(self) -> NodeState:
        """The node's answer."""
        settled = self._settle_at is None
        models = tuple(self._models[name] for name in sorted(self._models))
        failed = any(entry.state is VersionState.FAILED for model in models for entry in model.versions)
        return NodeState(
            node=self.address.node,
            pool=self.address.pool,
            generation=self.generation,
            settled=settled,
            converged=settled and not failed,
            ready=settled and not self.draining,
            draining=self.draining,
            models=models,
            rest_address=self.address.rest,
            grpc_address=self.address.grpc,
            model_server_pid=1,
            memory_bytes=100_000_000 + 1_000_000 * sum(len(model.versions) for model in models),
            leaked_bytes=self.faults.leaked_bytes,
            restarts=self.restarts,
            error=self._error,
        )

    def _settle(self) -> None:
        self._models = {model.name: self._settled(model) for model in self._desired.models}
        self._settle_at = None

    def _settled(self, wanted: DesiredModel) -> NodeModel:
        before = self._models.get(wanted.name)
        versions = {entry.version: self._loaded(wanted, entry) for entry in wanted.versions}
        proven = {number for number, entry in versions.items() if entry.state is VersionState.PROVEN}
        labels = {label: version for label, version in wanted.labels.items() if version in proven}
        kept = before.labels.get(STABLE) if before else None
        if before and kept is not None and wanted.stable is not None and STABLE not in labels:
            # What answered goes on answering where the new version does not come.
            labels[STABLE] = kept
            versions.setdefault(kept, _entry_of(before, kept))
        return NodeModel(
            name=wanted.name,
            versions=tuple(versions[number] for number in sorted(versions)),
            labels=labels,
            flipped_at=self._flipped_at(before, labels.get(STABLE)),
        )

    def _loaded(self, wanted: DesiredModel, entry: DesiredVersion) -> NodeVersion:
        before = self._models.get(wanted.name)
        known = before.state_of(entry.version) if before else None
        if known is not None and known.state is VersionState.PROVEN:
            return known
        error = self.faults.load_errors.get((wanted.name, entry.version)) or self._artifact_fault(wanted, entry)
        if error is not None:
            return NodeVersion(version=entry.version, state=VersionState.FAILED, error=error)
        return NodeVersion(
            version=entry.version,
            state=VersionState.PROVEN,
            seconds=self.faults.slow_seconds,
            memory_bytes=1_000_000,
        )

    def _artifact_fault(self, wanted: DesiredModel, entry: DesiredVersion) -> str | None:
        if not self._check_artifacts:
            return None
        name = wanted.prefix(entry.version) + MANIFEST_NAME
        try:
            content, _ = self._store.read(name)
        except (NotFound, StorageUnavailable) as error:
            return str(error)
        found = digest_of(content)
        return None if found == entry.digest else f"{name} has digest {found}, expected {entry.digest}"

    def _flipped_at(self, before: NodeModel | None, stable: int | None) -> datetime | None:
        if before is not None and before.labels.get(STABLE) == stable:
            return before.flipped_at
        return self._clock.now() if stable is not None else None


def _entry_of(model: NodeModel, version: int) -> NodeVersion:
    entry = model.state_of(version)
    return entry or NodeVersion(version=version, state=VersionState.PROVEN)
