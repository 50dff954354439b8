"""How many rollouts are under way, by phase, and events that wait: the numbers behind every alert of what is stuck."""

from __future__ import annotations

from collections import Counter
from typing import Final

from deployer.rollout.parts import Parts
from roost.contracts.rollout import TERMINAL, Phase
from roost.ports.ledger import RolloutQuery
from roost.telemetry import metrics

_OPEN: Final = frozenset(Phase) - TERMINAL
_LIMIT: Final = 100_000


class Census:
    """Counts, slowly and on its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def step(self) -> dict[Phase, int]:
        """Open rollouts by phase, none left out. Raises `DatabaseUnavailable`."""
        found = Counter(row.phase for row in self._parts.ledger.rollouts(RolloutQuery(phases=_OPEN, limit=_LIMIT)))
        counts = {phase: found[phase] for phase in sorted(_OPEN)}
        for phase, count in counts.items():
            metrics.PHASE_OPEN.labels(phase=phase).set(count)
        metrics.OUTBOX_PENDING.set(self._parts.ledger.pending_events())
        return counts
