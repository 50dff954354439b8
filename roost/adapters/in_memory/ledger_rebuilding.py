"""Filling a ledger, and the generations it knows of, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roost.adapters.in_memory.ledger_state import LedgerState, RolloutSlot
from roost.contracts.errors import Conflict
from roost.contracts.rollout import Rollout
from roost.ports.ledger import Onboarding
from roost.ports.rebuilding import Contents, RebuiltRollout


class InMemoryRebuilding:
    """Implements `RebuildLedger` and `Generations`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def newest_generation(self, pool: str) -> int | None:
        """What was reserved last."""
        with self._state.lock:
            return self._state.generations.get(pool)

    def reserve_generation(self, pool: str, generation: int) -> None:
        """Note it; it never falls."""
        with self._state.lock:
            self._state.generations[pool] = max(generation, self._state.generations.get(pool, 0))

    def rows(self) -> Mapping[str, int]:
        """Rows by table."""
        state = self._state
        with state.lock:
            return {
                "inbox": len(state.inbox),
                "onboardings": len(state.onboardings),
                "rollouts": len(state.rollouts),
                "quarantines": len(state.quarantines),
                "commands": len(state.commands),
                "freezes": len(state.freezes),
                "outbox": len(state.outbox),
                "pool_generations": len(state.generations),
            }

    def fill(self, contents: Contents, *, onto: bool = False) -> None:
        """Write everything, or nothing."""
        state = self._state
        with state.lock:
            found = {table: count for table, count in self.rows().items() if count}
            if found and not onto:
                raise Conflict(f"the ledger is not empty: {', '.join(f'{n} {table}' for table, n in found.items())}")
            for row in contents.onboardings:
                self._customer(row)
            for one in contents.inbox:
                state.inbox.setdefault((one.kind, one.event_id), one.at)
            for rebuilt in contents.rollouts:
                self._rollout(rebuilt)
            for name, number in contents.last_versions.items():
                state.versions[name] = max(number, state.versions.get(name, 0))
            for rollout_id in contents.answering:
                state.rollouts[rollout_id].changed = state.next_change()
            self._decisions(contents)
            for pool, generation in contents.generations.items():
                self.reserve_generation(pool, generation)
            self._events(contents)

    def _customer(self, row: Onboarding) -> None:
        state = self._state
        if ("customers", row.event_id) in state.inbox:
            return
        held = state.onboardings.get(row.customer)
        left_at = row.left_at or (held.left_at if held else None)
        state.onboardings[row.customer] = replace(row, attempts=0, left_at=left_at)
        state.onboarding_leases.pop(row.customer, None)
        state.wake("onboarding")

    def _rollout(self, rebuilt: RebuiltRollout) -> None:
        state, row = self._state, rebuilt.rollout
        held = state.rollouts.get(row.id)
        if held is not None and held.rollout.revision >= row.revision:
            return
        if held is None and any(_same(slot.rollout, row) for slot in state.rollouts.values()):
            return
        lines = {line.sequence: line for line in rebuilt.history} | {
            line.sequence: line for line in (held.history if held else ())
        }
        state.rollouts[row.id] = RolloutSlot(
            rollout=row,
            history=[lines[number] for number in sorted(lines)],
            due_at=state.clock.now(),
            changed=state.next_change(),
            allocated=row.version or None,
        )
        state.wake("rollouts")

    def _decisions(self, contents: Contents) -> None:
        state = self._state
        for digest in contents.released:
            state.quarantines.pop(digest, None)
        for entry in contents.quarantines:
            state.quarantines.setdefault(entry.digest, entry)
        for scope in contents.thawed:
            state.freezes.pop(scope, None)
        for freeze in contents.freezes:
            state.freezes.setdefault(freeze.scope, freeze)
        for row in contents.commands:
            known = state.commands.get(row.event_id)
            if known is None or known.done_at is None:
                state.commands[row.event_id] = row

    def _events(self, contents: Contents) -> None:
        state = self._state
        state.add_events(contents.told)
        told = {event.id for event in contents.told}
        state.published.update(row.sequence for row in state.outbox if row.event.id in told)
        state.add_events(contents.untold)


def _same(one: Rollout, other: Rollout) -> bool:
    return (one.customer, one.model, one.digest) == (other.customer, other.model, other.digest)
