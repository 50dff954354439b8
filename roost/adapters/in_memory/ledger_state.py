"""What the parts of the in-memory ledger share: the tables, one lock, the clock, and who waits for work."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from roost.contracts.cloudevents import Event
from roost.contracts.rollout import Rollout, Transition
from roost.ports.clock import Clock
from roost.ports.ledger import CommandRow, Freeze, Onboarding, OutboxRow, Quarantine


@dataclass(slots=True, kw_only=True)
class RolloutSlot:
    """One rollout with what only the ledger knows of it."""

    rollout: Rollout
    history: list[Transition]
    due_at: datetime
    #: Counts every write to any rollout, so that "newest" needs no clock.
    changed: int
    lease_owner: str | None = None
    lease_until: datetime | None = None
    allocated: int | None = None


@dataclass(slots=True)
class LedgerState:
    """The tables. Whoever reads or writes them holds `lock`."""

    clock: Clock
    lock: threading.RLock = field(default_factory=threading.RLock)
    #: (kind, event id) of everything that was taken in, and when.
    inbox: dict[tuple[str, str], datetime] = field(default_factory=dict)
    onboardings: dict[str, Onboarding] = field(default_factory=dict)
    #: Customer to when their followed run failed.
    failed_at: dict[str, datetime] = field(default_factory=dict)
    onboarding_leases: dict[str, datetime] = field(default_factory=dict)
    rollouts: dict[str, RolloutSlot] = field(default_factory=dict)
    #: Served name to the last version that was given out.
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Pool to the newest generation that was reserved.
    generations: dict[str, int] = field(default_factory=dict)
    quarantines: dict[str, Quarantine] = field(default_factory=dict)
    commands: dict[str, CommandRow] = field(default_factory=dict)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)
    appended: int = 0
    event_ids: set[str] = field(default_factory=set)
    published: set[int] = field(default_factory=set)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    waiting: list[InMemoryWakeups] = field(default_factory=list)
    changes: int = 0

    def first_time(self, kind: str, event_id: str) -> bool:
        """Note the event. Returns whether it was not known."""
        key = (kind, event_id)
        if key in self.inbox:
            return False
        self.inbox[key] = self.clock.now()
        return True

    def next_change(self) -> int:
        """Number of the next write to a rollout."""
        self.changes += 1
        return self.changes

    def add_events(self, events: Iterable[Event]) -> None:
        """Append events that are not known yet, and wake the relay."""
        for event in events:
            if event.id not in self.event_ids:
                self.event_ids.add(event.id)
                self.appended += 1
                self.outbox.append(OutboxRow(sequence=self.appended, event=event))
                self.wake("outbox")

    def wake(self, channel: str) -> None:
        """Tell everybody who waits."""
        for one in self.waiting:
            one.notify(channel)


class InMemoryWakeups:
    """Waits on a condition instead of a connection."""

    def __init__(self, state: LedgerState) -> None:
        """Listen from now on."""
        self._state = state
        self._condition = threading.Condition()
        # As with a new connection: what happened before is unknown, so the first wait answers at once.
        self._channels: set[str] = {"rollouts", "commands", "outbox", "onboarding"}
        with state.lock:
            state.waiting.append(self)

    def notify(self, channel: str) -> None:
        """Note the channel and wake the waiter."""
        with self._condition:
            self._channels.add(channel)
            self._condition.notify_all()

    def wait(self, seconds: float) -> frozenset[str]:
        """Channels notified since the last call, waiting at most that long."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._channels), timeout=seconds)
            found = frozenset(self._channels)
            self._channels.clear()
            return found

    def close(self) -> None:
        """Listen no more."""
        with self._state.lock:
            if self in self._state.waiting:
                self._state.waiting.remove(self)
