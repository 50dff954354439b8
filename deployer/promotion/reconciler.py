"""The reconciler: what push missed, pull or another push mends. It looks at every node, unasked and slowly."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from deployer.promotion.desired_store import DesiredStore
from deployer.promotion.nodes import PoolNodes
from deployer.restart import choice
from roost.contracts.acks import NodeState
from roost.contracts.errors import Conflict
from roost.contracts.policy import RestartPolicy, RestartWhen
from roost.telemetry import metrics

log = logging.getLogger(__name__)


class Reconciler:
    """Nudges nodes that are behind, keeps `models.config` current, and counts."""

    def __init__(self, desired: DesiredStore, nodes: PoolNodes, restart: RestartPolicy | None = None) -> None:
        """`desired` and `nodes` are its own: the promoter's are another thread's."""
        self._desired = desired
        self._nodes = nodes
        #: The policy's word, which may change.
        self.restart = restart or RestartPolicy()
        self._reported: frozenset[str] = frozenset()

    def step(self) -> tuple[str, ...]:
        """One look. Returns the nodes that do not serve the desired generation.

        Raises `StorageUnavailable`.
        """
        self._desired.forget()
        generation = self._desired.current().generation
        seen = self._nodes.look()
        late = [state.node for state in seen.states if state.generation < generation]
        if late:
            self._nodes.nudge(late, generation)
        unconverged = {state.node for state in seen.states if not state.converged or state.generation < generation}
        behind = tuple(sorted(unconverged | set(seen.absent)))
        metrics.NODES_BEHIND.labels(pool=self._nodes.pool).set(len(behind))
        metrics.NODES_ANSWERING.labels(pool=self._nodes.pool).set(len(seen.states))
        metrics.RESTARTS_DUE.labels(pool=self._nodes.pool).set(len(self._due(seen.states, generation)))
        self._tell(frozenset(behind), generation)
        try:
            self._desired.publish_config()
        except Conflict:
            log.info("models.config of pool %s was written by somebody else", self._nodes.pool)
        return behind

    def _due(self, states: Sequence[NodeState], generation: int) -> list[str]:
        """Whom a restart would take by the policy, were it time: not those that are due by the calendar alone."""
        policy = self.restart.model_copy(update={"when": RestartWhen.STALE_OR_LEAKING})
        return [state.node for state in states if choice.why(state, generation, policy, always=False)]

    def _tell(self, behind: frozenset[str], generation: int) -> None:
        """One line per change, none per look."""
        if behind == self._reported:
            return
        self._reported = behind
        names = ", ".join(sorted(behind)) or "none"
        log.info(
            "pool %s, generation %d: behind are %s",
            self._nodes.pool,
            generation,
            names,
            extra={"action": "reconcile", "generation": generation},
        )
