"""Commands, freezes, outbox, housekeeping and leases, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from roost.adapters.in_memory.ledger_rollouts import InMemoryRollouts
from roost.adapters.in_memory.ledger_state import LedgerState
from roost.contracts.cloudevents import Event
from roost.contracts.errors import NotFound
from roost.contracts.events import DeployCommand
from roost.ports.ledger import Change, CommandRow, Freeze, OutboxRow, Settled


class InMemoryCommands:
    """Implements `CommandLedger`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def submit(self, event_id: str, command: DeployCommand, *, at: datetime, traceparent: str | None = None) -> bool:
        """Accept a command."""
        with self._state.lock:
            if event_id in self._state.commands:
                return False
            row = CommandRow(event_id=event_id, command=command, received_at=at, traceparent=traceparent)
            self._state.commands[event_id] = row
            self._state.wake("commands")
            return True

    def open_commands(self, limit: int) -> Sequence[CommandRow]:
        """Those not done, oldest first."""
        with self._state.lock:
            return [row for row in self._state.commands.values() if row.done_at is None][:limit]

    def close_command(
        self, event_id: str, *, outcome: str, at: datetime, events: Sequence[Event], changes: Sequence[Change] = ()
    ) -> bool:
        """Write what became of it, with the transitions that it led to; one that is closed stays as it is."""
        with self._state.lock:
            row = self._state.commands.get(event_id)
            if row is None:
                raise NotFound(f"there is no command {event_id!r}")
            if row.done_at is not None:
                return False
            InMemoryRollouts(self._state).apply(changes)
            self._state.commands[event_id] = replace(row, outcome=outcome, done_at=at)
            self._state.add_events(events)
            return True

    def commands(self, limit: int) -> Sequence[CommandRow]:
        """The newest, done or not."""
        with self._state.lock:
            return list(reversed(self._state.commands.values()))[:limit]

    def freeze(self, entry: Freeze) -> None:
        """The newest reason stands."""
        with self._state.lock:
            self._state.freezes[entry.scope] = entry

    def thaw(self, scope: str) -> bool:
        """Returns whether it was frozen."""
        with self._state.lock:
            found = self._state.freezes.pop(scope, None) is not None
            if found:
                self._state.wake("rollouts")
            return found

    def freezes(self) -> Sequence[Freeze]:
        """All that stand, by scope."""
        with self._state.lock:
            return sorted(self._state.freezes.values(), key=lambda entry: entry.scope)


class InMemoryOutbox:
    """Implements `Outbox`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def add_events(self, events: Sequence[Event]) -> None:
        """Add events that belong to no rollout."""
        with self._state.lock:
            self._state.add_events(events)

    def unpublished(self, limit: int) -> Sequence[OutboxRow]:
        """Oldest first."""
        with self._state.lock:
            return [row for row in self._state.outbox if row.sequence not in self._state.published][:limit]

    def pending_events(self) -> int:
        """How many are not in Kafka yet."""
        with self._state.lock:
            return sum(row.sequence not in self._state.published for row in self._state.outbox)

    def mark_published(self, sequences: Sequence[int]) -> None:
        """They are in Kafka."""
        with self._state.lock:
            self._state.published.update(sequences)

    def recent_events(self, *, limit: int, after: int = 0) -> Sequence[OutboxRow]:
        """The newest above `after`, oldest first."""
        with self._state.lock:
            return [row for row in self._state.outbox if row.sequence > after][-limit:]


class InMemoryHousekeeping:
    """Implements `Housekeeping`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def prune(self, what: Settled, *, before: datetime, limit: int) -> int:
        """Delete what was done with before that instant."""
        with self._state.lock:
            match what:
                case Settled.INBOX:
                    return self._inbox(before, limit)
                case Settled.OUTBOX:
                    return self._outbox(before, limit)
                case Settled.COMMANDS:
                    return self._commands(before, limit)

    def _inbox(self, before: datetime, limit: int) -> int:
        old = [key for key, at in self._state.inbox.items() if at < before][:limit]
        for key in old:
            del self._state.inbox[key]
        return len(old)

    def _outbox(self, before: datetime, limit: int) -> int:
        state = self._state
        old = [row for row in state.outbox if row.sequence in state.published and row.event.time < before][:limit]
        for row in old:
            state.outbox.remove(row)
            state.event_ids.discard(row.event.id)
        return len(old)

    def _commands(self, before: datetime, limit: int) -> int:
        rows = self._state.commands
        old = [key for key, row in rows.items() if row.done_at is not None and row.done_at < before][:limit]
        for key in old:
            del rows[key]
        return len(old)


class InMemoryLeases:
    """Implements `Leases`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def acquire(self, name: str, *, owner: str, seconds: float) -> bool:
        """Take or extend the lease."""
        with self._state.lock:
            now = self._state.clock.now()
            holder, until = self._state.leases.get(name, (owner, now))
            if holder != owner and until > now:
                return False
            self._state.leases[name] = (owner, now + timedelta(seconds=seconds))
            return True

    def drop(self, name: str, *, owner: str) -> None:
        """Give it back, if it is ours."""
        with self._state.lock:
            holder = self._state.leases.get(name)
            if holder is not None and holder[0] == owner:
                del self._state.leases[name]
