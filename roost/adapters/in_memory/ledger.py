"""The whole ledger in memory, held to the same contract tests as PostgreSQL."""

from __future__ import annotations

from roost.adapters.in_memory.ledger_commands import (
    InMemoryCommands,
    InMemoryHousekeeping,
    InMemoryLeases,
    InMemoryOutbox,
)
from roost.adapters.in_memory.ledger_onboarding import InMemoryOnboarding
from roost.adapters.in_memory.ledger_rebuilding import InMemoryRebuilding
from roost.adapters.in_memory.ledger_rollouts import InMemoryRollouts
from roost.adapters.in_memory.ledger_state import InMemoryWakeups, LedgerState
from roost.ports.clock import Clock


class InMemoryLedger(
    InMemoryOnboarding,
    InMemoryRollouts,
    InMemoryCommands,
    InMemoryOutbox,
    InMemoryHousekeeping,
    InMemoryLeases,
    InMemoryRebuilding,
):
    """Implements every protocol of `roost.ports.ledger`. Safe to share between threads; gone with the process."""

    def __init__(self, clock: Clock) -> None:
        """Leases and due times follow `clock`."""
        super().__init__(LedgerState(clock))

    def wakeups(self) -> InMemoryWakeups:
        """Listen for work from now on: implements `Wakeups`."""
        return InMemoryWakeups(self._state)

    def close(self) -> None:
        """Nothing to give back."""
