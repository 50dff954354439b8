"""A serving pool in memory: simulated nodes that take up the desired object of an object store.

`InMemoryPool` is `NodeDirectory`, `NodeControl` and `Predictor` at once. Faults are set per node, by name:
``pool.faults("node-2").down = True``; answers per version: ``pool.answer("ua.default", 3, function)``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence

import numpy as np

from roost.adapters.in_memory.serving_node import Faults, SimulatedNode
from roost.contracts.acks import NodeState
from roost.contracts.desired import STABLE
from roost.contracts.errors import ModelServerUnavailable, NodeUnavailable, NotFound, Permanent
from roost.contracts.ids import split_served_name, version_prefix
from roost.contracts.manifest import GOLDEN_NAME, GoldenCase
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress, Tensors

#: Inputs to outputs, as one version of one model answers.
Answer = Callable[[Tensors], Tensors]

#: The only signature that simulated models have.
_SIGNATURE = "serving_default"


class InMemoryPool:
    """Nodes of one pool. Safe for threads."""

    def __init__(
        self, store: ObjectStore, clock: Clock, *, pool: str = "default", nodes: int = 3, check_artifacts: bool = True
    ) -> None:
        """Make `nodes` nodes named ``<pool>-1`` and so on.

        With `check_artifacts` a version loads only where its manifest is stored with the digest that is desired.
        """
        self._store = store
        self._clock = clock
        self._pool = pool
        self._check = check_artifacts
        self._lock = threading.RLock()
        self._nodes: dict[str, SimulatedNode] = {}
        self._answers: dict[tuple[str, int], Answer] = {}
        for _ in range(nodes):
            self.add_node()

    def add_node(self) -> NodeAddress:
        """A new node comes up, and takes up what is desired."""
        with self._lock:
            name = f"{self._pool}-{len(self._nodes) + 1}"
            at = f"{name}.invalid"
            address = NodeAddress(node=name, pool=self._pool, control=f"{at}:1", rest=f"{at}:8501", grpc=f"{at}:8500")
            node = SimulatedNode(address, self._store, self._clock, check_artifacts=self._check)
            self._nodes[name] = node
            node.take_up()
            return address

    def faults(self, node: str) -> Faults:
        """What is wrong with that node: set its fields."""
        return self._nodes[node].faults

    def fail_load(self, name: str, version: int, error: str, *, node: str | None = None) -> None:
        """Let that version fail to load, on one node or on all."""
        for each in self._nodes.values() if node is None else [self._nodes[node]]:
            each.faults.load_errors[name, version] = error

    def answer(self, name: str, version: int, function: Answer) -> None:
        """How that version answers. By default as its golden cases say, and otherwise by a hash of each row."""
        self._answers[name, version] = function

    def poll(self) -> None:
        """Every node looks at the desired object unasked, as it does every some seconds."""
        with self._lock:
            for node in self._nodes.values():
                node.take_up()

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        """All nodes of the pool, by name."""
        return tuple(self._nodes[name].address for name in sorted(self._nodes) if pool == self._pool)

    def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
        """What the node says now."""
        with self._lock:
            found = self._up(node, deadline)
            found.advance()
            return found.state()

    def nudge(self, node: NodeAddress, generation: int, *, deadline: float) -> None:
        """Let the node read the desired object, unless it is deaf."""
        with self._lock:
            found = self._up(node, deadline)
            if not found.faults.deaf and generation > found.generation:
                found.take_up()

    def await_settled(self, node: NodeAddress, generation: int, *, deadline: float) -> NodeState:
        """The state once settled; a clock that moves by waiting makes this immediate."""
        with self._lock:
            found = self._up(node, deadline)
            found.advance()
            left = found.seconds_to_settle() if found.generation >= generation else None
        if left != 0.0:
            self._clock.wait(deadline if left is None else min(left, deadline))
        with self._lock:
            found.advance()
            return found.state()

    def drain(self, node: NodeAddress, *, deadline: float) -> None:
        """The node is no longer ready."""
        with self._lock:
            self._up(node, deadline).draining = True

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        """The node loads everything again."""
        with self._lock:
            self._up(node, deadline).restart()

    def predict(
        self, address: str, name: str, inputs: Tensors, *, version: int | None, signature: str, deadline: float
    ) -> Tensors:
        """The answer of that version, or of `stable`, at the node whose gRPC address this is."""
        with self._lock:
            node = next((node for node in self._nodes.values() if node.address.grpc == address), None)
            if node is None or node.faults.down:
                raise ModelServerUnavailable(f"{address} is not reached within {deadline:g} s")
            node.advance()
            wanted = node.stable(name) if version is None else version
            if wanted is None:
                raise Permanent(f"Unrecognized servable version label: {STABLE}")
            if not node.has(name, wanted):
                raise Permanent(f"Servable not found for request: Specific({name}, {wanted})")
        if signature != _SIGNATURE:
            raise Permanent(f'Serving signature key "{signature}" not found.')
        answer = self._answers.get((name, wanted))
        return answer(inputs) if answer else self._recorded(name, wanted, inputs) or _hashed(inputs)

    def _up(self, address: NodeAddress, deadline: float) -> SimulatedNode:
        found = self._nodes.get(address.node)
        if found is None or found.faults.down:
            raise NodeUnavailable(f"node {address.node} at {address.control} did not answer within {deadline:g} s")
        return found

    def _recorded(self, name: str, version: int, inputs: Tensors) -> Tensors | None:
        asked = {key: _listed(value) for key, value in inputs.items()}
        try:
            content, _ = self._store.read(version_prefix(*split_served_name(name), version) + GOLDEN_NAME)
        except NotFound:
            return None
        for line in content.splitlines():
            case = GoldenCase.model_validate_json(line)
            if case.inputs == asked:
                return {key: np.asarray(value) for key, value in case.outputs.items()}
        return None


def _listed(value: np.ndarray) -> list[object]:
    nested = np.asarray(value).tolist()
    return [item.decode() if isinstance(item, bytes) else item for item in nested]


def _hashed(inputs: Tensors) -> Tensors:
    """Scores between 0 and 1, one a row, that depend on the whole row and on nothing else."""
    columns = [np.asarray(inputs[key]) for key in sorted(inputs)]
    rows = min((len(column) for column in columns), default=0)
    scores = []
    for row in range(rows):
        text = repr([column[row].tolist() for column in columns]).encode()
        scores.append(int.from_bytes(hashlib.sha256(text).digest()[:4], "big") / 2**32)
    return {"score": np.asarray(scores, dtype=np.float32).reshape(rows, 1)}
