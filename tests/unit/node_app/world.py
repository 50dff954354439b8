"""A node's facts and a model server in memory, as the page sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from roost.adapters.tf_serving import Answer
from roost.contracts.acks import NodeModel, NodeState, NodeVersion, VersionState
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import ArtifactInvalid, Permanent
from roost.contracts.ids import split_served_name
from roost.contracts.manifest import (
    ArtifactManifest,
    InputSpec,
    ManifestFile,
    OutputSpec,
    RunFacts,
    SignatureSpec,
    TensorSpec,
)
from roost.contracts.policy import Policy
from roost.ports.serving import Tensors
from serving.node.app.catalogue import Catalogue, NodeFacts, ServedVersion, Wanted
from serving.node.app.predicting import Predictions
from serving.node.app.rules import RuleBook

Key = tuple[str, int]
DIGEST = "sha256:" + "0" * 64

INPUTS = (
    InputSpec(name="origin", dtype="DT_STRING", shape=(-1,), categories=("EWR", "JFK", "LGA")),
    InputSpec(name="distance", dtype="DT_FLOAT", shape=(-1,), minimum=0, maximum=5000),
    InputSpec(name="hour", dtype="DT_INT64", shape=(-1,), minimum=0, maximum=23, bounds="enforce"),
    InputSpec(name="temp", dtype="DT_FLOAT", shape=(-1,), required=False, nan=True),
)
OUTPUTS = (OutputSpec(name="probability", minimum=0, maximum=1, labels=("on time", "late"), threshold=0.7),)


def a_row(**changes: object) -> dict[str, object]:
    """A row that is answered without a word."""
    return {"origin": "EWR", "distance": 1400.0, "hour": 17, "temp": 60.5, **changes}


def a_manifest(
    name: str = "ua.default",
    inputs: tuple[InputSpec, ...] = INPUTS,
    outputs: tuple[OutputSpec, ...] = OUTPUTS,
    *,
    declares: bool = True,
    scope: str = "own",
) -> ArtifactManifest:
    customer, model = split_served_name(name)
    signature = SignatureSpec(
        name="serving_default",
        inputs=tuple(TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape) for spec in inputs),
        outputs=tuple(TensorSpec(name=spec.name, dtype="DT_FLOAT", shape=(-1,)) for spec in outputs),
    )
    return ArtifactManifest(
        customer=customer,
        model=model,
        files=(ManifestFile(path="saved_model.pb", size=1, sha256="0" * 64, crc32c="AAAAAA=="),),
        signatures=(signature,),
        inputs=inputs if declares else (),
        outputs=outputs,
        run=RunFacts(
            run_id="r1",
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="1",
            seed=7,
            data_window=("2013-01-01", "2013-02-01"),
            rows_trained=10,
            scope="own" if scope == "own" else "cohort",
        ),
    )


class World:
    """Versions with their manifests, labels that move, and what was recorded."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.manifests: dict[Key, ArtifactManifest] = {}
        #: As the node says; the model server follows `labels_of_server` where a test sets them apart.
        self.labels: dict[str, dict[str, int]] = {}
        self.labels_of_server: dict[str, dict[str, int]] | None = None
        self.states: dict[Key, VersionState] = {}
        #: Served name to the share of each label beside `stable`.
        self.splits: dict[str, dict[str, float]] = {}
        self.desired_only: set[str] = set()
        self.trouble: Exception | None = None
        self.respond: Callable[[Tensors], Tensors] = _probability
        self.asked: list[tuple[str, Tensors, int | None]] = []
        self.recorded: list[tuple[Wanted, ServedVersion, Tensors]] = []
        self._book = RuleBook(policy or Policy())
        self.rewired()

    def rewired(self) -> None:
        """Take up methods that a test has replaced."""
        facts = NodeFacts(desired=self.desired, state=self.state, manifest=self.manifest)
        self.service = Predictions(Catalogue(facts), self, self._book, self)

    def serve(self, name: str, version: int, manifest: ArtifactManifest | None = None, *, stable: bool = True) -> None:
        self.manifests[name, version] = manifest or a_manifest(name)
        if stable:
            self.labels.setdefault(name, {})["stable"] = version

    def desired(self) -> DesiredState:
        names = sorted({name for name, _ in self.manifests})
        return DesiredState(pool="default", generation=1, models=tuple(self._desired_model(name) for name in names))

    def state(self) -> NodeState:
        names = sorted({name for name, _ in self.manifests})
        return NodeState(
            node="node-1",
            pool="default",
            generation=1,
            settled=True,
            converged=True,
            ready=True,
            models=tuple(
                NodeModel(name=name, versions=self._versions(name), labels=self.labels.get(name, {})) for name in names
            ),
            rest_address="127.0.0.1:1",
            grpc_address="127.0.0.1:2",
        )

    def manifest(self, key: Key) -> ArtifactManifest:
        if key not in self.manifests:
            raise ArtifactInvalid(f"{key} is not there")
        return self.manifests[key]

    def predict(self, name: str, inputs: Tensors, *, version: int | None) -> Answer:
        self.asked.append((name, inputs, version))
        if self.trouble is not None:
            raise self.trouble
        labels = self.labels if self.labels_of_server is None else self.labels_of_server
        found = labels.get(name, {}).get("stable") if version is None else version
        if found is None or (name, found) not in self.manifests:
            raise Permanent(f"Servable not found for request: {name}, {found}")
        return Answer(version=found, outputs=self.respond(inputs))

    def offer(self, wanted: Wanted, served: ServedVersion, inputs: Tensors) -> None:
        self.recorded.append((wanted, served, inputs))

    def _versions(self, name: str) -> tuple[NodeVersion, ...]:
        listed = sorted(version for known, version in self.manifests if known == name)
        states = self.states
        return tuple(
            NodeVersion(version=version, state=states.get((name, version), VersionState.PROVEN)) for version in listed
        )

    def _desired_model(self, name: str) -> DesiredModel:
        listed = sorted(version for known, version in self.manifests if known == name)
        labels = {"stable": listed[-1]} if name in self.desired_only or name in self.labels else {}
        split = self.splits.get(name, {})
        labels |= dict.fromkeys(split, listed[0])
        versions = tuple(DesiredVersion(version=version, digest=DIGEST, rollout_id="r") for version in listed)
        return DesiredModel(name=name, versions=versions, labels=labels, split=split)


def _probability(inputs: Tensors) -> Tensors:
    """One number a row that depends on the hour alone."""
    hours = np.asarray(inputs["hour"], dtype=np.float32)
    return {"probability": hours / np.float32(24)}
