"""The barrier of a promotion: what each rollout wants next, judged by the desired state and what nodes have proved.

Level-triggered: nothing is remembered between two looks, so that a deployer that was killed goes on where the desired
state and the nodes stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployer.domain.planner import Change, Flip, Load, RollBack, Settle, Swap
from roost.contracts.acks import NodeModel, NodeState, VersionState
from roost.contracts.desired import PREVIOUS, STABLE, DesiredModel, DesiredVersion, LoadingOrder
from roost.contracts.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """A change of the desired state."""

    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Nothing to do until nodes have gone on: one sentence says for which."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Every node that counts has proved it."""

    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fails:
    """It will not come: one sentence names the node and its error."""

    reason: str


Judgement = Wants | Waits | Done | Fails


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node's word, indexed by served name."""

    node: str
    generation: int
    settled: bool
    models: Mapping[str, NodeModel]

    @classmethod
    def of(cls, state: NodeState) -> NodeView:
        """Index a node's answer."""
        models = {model.name: model for model in state.models}
        return cls(node=state.node, generation=state.generation, settled=state.settled, models=models)

    def state_of(self, name: str, version: int) -> VersionState | None:
        """State of a version, None where the node does not know it."""
        model = self.models.get(name)
        entry = model.state_of(version) if model else None
        return entry.state if entry else None

    def error_of(self, name: str, version: int) -> str | None:
        """Why the version will not come, None where nothing says so."""
        model = self.models.get(name)
        entry = model.state_of(version) if model else None
        return (entry.error or "no reason given") if entry and entry.state is VersionState.FAILED else None

    def serves(self, name: str, version: int) -> bool:
        """`stable` is exactly that version here, proved by a prediction."""
        model = self.models.get(name)
        proven = self.state_of(name, version) is VersionState.PROVEN
        return model is not None and model.labels.get(STABLE) == version and proven


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """A pool at one look: the desired generation, its entries by name, and the nodes that count."""

    generation: int
    entries: Mapping[str, DesiredModel]
    #: Ready, reachable, not draining.
    nodes: tuple[NodeView, ...]
    #: Known and not counted; they converge when they are back.
    absent: tuple[str, ...] = ()
    loading: LoadingOrder = LoadingOrder.LOAD_FIRST


def promotion(rollout: Rollout, pool: PoolView, previous_percent: float = 0) -> Judgement:
    """Load, then flip, then prove. `previous_percent`: of requests that the previous version goes on answering."""
    name, version = rollout.name, rollout.version
    entry = pool.entries.get(name)
    if entry is None or not entry.has(version):
        listed = DesiredVersion(version=version, digest=rollout.digest, rollout_id=rollout.id)
        return Wants(change=_brought(name, listed, pool))
    if not pool.nodes:
        return Waits(reason="No node of the pool is ready.")
    return _failed(name, version, pool) or _flipped(rollout, entry, pool, previous_percent)


def rolling_back(rollout: Rollout, pool: PoolView, target: DesiredVersion | None) -> Judgement:
    """Take the version out; where it answers, return to `target`, loading it first if it is not loaded any more."""
    name, version = rollout.name, rollout.version
    entry = pool.entries.get(name)
    if entry is None or not entry.has(version):
        return _taken_back(name, entry, pool)
    back = RollBack(name=name, version=version, to=target.version if target else None)
    if entry.stable != version or target is None or entry.labels.get(PREVIOUS) == target.version:
        return Wants(change=back)
    if not entry.has(target.version):
        return Wants(change=_brought(name, target, pool))
    failed = _failed(name, target.version, pool)
    if failed is not None:
        return failed
    missing = [node.node for node in pool.nodes if node.state_of(name, target.version) is not VersionState.PROVEN]
    if missing or not pool.nodes:
        return Waits(reason=f"{', '.join(missing) or 'A node'} must load version {target.version} again.")
    return Wants(change=back)


def bake(rollout: Rollout, pool: PoolView) -> Judgement:
    """The bake is over: let go of the previous version."""
    entry = pool.entries.get(rollout.name)
    if entry is None or entry.stable != rollout.version:
        return Fails(reason=f"The pool's desired state does not answer with version {rollout.version} any more.")
    if len(entry.versions) > 1 or set(entry.labels) != {STABLE}:
        return Wants(change=Settle(name=rollout.name))
    behind = [node.node for node in pool.nodes if not _only(node, rollout.name, rollout.version)]
    return Waits(reason=f"{', '.join(behind)} must unload what came before.") if behind else Done()


def _brought(name: str, version: DesiredVersion, pool: PoolView) -> Change:
    """Beside what is there; or in its place, where the pool's memory does not hold both."""
    if pool.loading is LoadingOrder.UNLOAD_FIRST:
        return Swap(name=name, version=version)
    return Load(name=name, version=version)


def _flipped(rollout: Rollout, entry: DesiredModel, pool: PoolView, previous_percent: float) -> Judgement:
    name, version = rollout.name, rollout.version
    if entry.stable != version:
        missing = [node.node for node in pool.nodes if node.state_of(name, version) is not VersionState.PROVEN]
        if missing:
            return Waits(reason=f"{', '.join(missing)} must load version {version}.")
        return Wants(change=Flip(name=name, version=version, previous_percent=previous_percent))
    missing = [node.node for node in pool.nodes if not node.serves(name, version)]
    if missing:
        return Waits(reason=f"{', '.join(missing)} must prove version {version} as stable.")
    return Done(facts=_facts(name, pool))


def _failed(name: str, version: int, pool: PoolView) -> Fails | None:
    for node in pool.nodes:
        error = node.error_of(name, version)
        if error is not None:
            return Fails(reason=f"Node {node.node} could not load version {version}: {error}")
    return None


def _taken_back(name: str, entry: DesiredModel | None, pool: PoolView) -> Judgement:
    stable = entry.stable if entry else None
    behind = [
        node.node
        for node in pool.nodes
        if not (node.serves(name, stable) if stable is not None else node.generation >= pool.generation)
    ]
    if behind:
        return Waits(reason=f"{', '.join(behind)} must take it back.")
    return Done(facts=_facts(name, pool))


def _only(node: NodeView, name: str, version: int) -> bool:
    model = node.models.get(name)
    return model is not None and all(entry.version == version for entry in model.versions)


def _facts(name: str, pool: PoolView) -> dict[str, object]:
    flips = [model.flipped_at for node in pool.nodes if (model := node.models.get(name)) and model.flipped_at]
    facts: dict[str, object] = {"generation": pool.generation, "nodes": [node.node for node in pool.nodes]}
    if flips:
        facts["skew_ms"] = round((max(flips) - min(flips)).total_seconds() * 1000, 3)
        facts["flipped_at"] = min(flips).isoformat()
    if pool.absent:
        facts["absent"] = list(pool.absent)
    return facts
