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
        # A counter that begins at its first event never increases by it, and an alert would miss that one.
        for phase in Phase:
            metrics.TRANSITIONS.labels(phase=phase)

    def step(self) -> dict[Phase, int]:
        """Open rollouts by phase, none left out. Raises `DatabaseUnavailable`."""
        now = self._parts.clock.now()
        rows = self._parts.ledger.rollouts(RolloutQuery(phases=_OPEN, limit=_LIMIT))
        found = Counter(row.phase for row in rows)
        overdue = Counter(row.phase for row in rows if row.deadline is not None and row.deadline < now)
        counts = {phase: found[phase] for phase in sorted(_OPEN)}
        for phase, count in counts.items():
            oldest = min((row.entered_at for row in rows if row.phase is phase), default=now)
            metrics.PHASE_OPEN.labels(phase=phase).set(count)
            metrics.PHASE_OLDEST.labels(phase=phase).set((now - oldest).total_seconds())
            metrics.OVERDUE.labels(phase=phase).set(overdue[phase])
        metrics.OUTBOX_PENDING.set(self._parts.ledger.pending_events())
        waiting = self._parts.ledger.oldest_unanswered()
        metrics.UNANSWERED.set(0 if waiting is None else max(0.0, (now - waiting).total_seconds()))
        return counts
