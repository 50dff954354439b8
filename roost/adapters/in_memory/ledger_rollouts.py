"""Rollouts, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from roost.adapters.in_memory.ledger_state import LedgerState, RolloutSlot
from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict, NotFound
from roost.contracts.ids import run_of
from roost.contracts.rollout import EXCLUSIVE, Phase, Rollout, Transition
from roost.ports.ledger import Change, Onboarding, OnboardingStage, Quarantine, RolloutQuery


class InMemoryRollouts:
    """Implements `RolloutLedger`."""

    def __init__(self, state: LedgerState) -> None:
        """Share `state` with the other parts."""
        self._state = state

    def receive(self, rollout: Rollout, *, event_id: str, events: Sequence[Event]) -> bool:
        """Insert a rollout in RECEIVED."""
        state = self._state
        with state.lock:
            if not state.first_time("models.ready", event_id) or self._known(rollout):
                return False
            first = Transition.first(rollout)
            state.rollouts[rollout.id] = RolloutSlot(
                rollout=rollout, history=[first], due_at=state.clock.now(), changed=state.next_change()
            )
            row = state.onboardings.get(rollout.customer)
            if row is not None and self._ends_failure(row, rollout):
                state.onboardings[rollout.customer] = replace(row, stage=OnboardingStage.TRAINED, error=None)
            state.add_events(events)
            state.wake("rollouts")
            return True

    def _ends_failure(self, row: Onboarding, rollout: Rollout) -> bool:
        """Whether the model is one of after the failure, or of the very run."""
        if (row.model, row.stage) != (rollout.model, OnboardingStage.FAILED):
            return False
        failed_at = self._state.failed_at.get(row.customer)
        own = row.airflow_run_id == run_of(rollout.run_id)
        return own or failed_at is None or failed_at <= rollout.trained_at

    def rollout(self, rollout_id: str) -> Rollout:
        """Raises `NotFound`."""
        with self._state.lock:
            return self._slot(rollout_id).rollout

    def rollouts(self, query: RolloutQuery) -> Sequence[Rollout]:
        """By `received_at`, newest first."""
        with self._state.lock:
            found = [slot.rollout for slot in self._state.rollouts.values() if _matches(slot.rollout, query)]
        return sorted(found, key=lambda row: (row.received_at, row.id), reverse=True)[: query.limit]

    def history(self, rollout_id: str) -> Sequence[Transition]:
        """Oldest first."""
        with self._state.lock:
            return sorted(self._slot(rollout_id).history, key=lambda line: line.sequence)

    def claim(self, phases: frozenset[Phase], *, owner: str, limit: int, lease_seconds: float) -> Sequence[Rollout]:
        """Take due rows that nobody holds, and lease them."""
        state = self._state
        with state.lock:
            now = state.clock.now()
            free = [
                slot
                for slot in state.rollouts.values()
                if slot.rollout.phase in phases
                and slot.due_at <= now
                and (slot.lease_until is None or slot.lease_until <= now)
            ]
            free.sort(key=lambda slot: (slot.rollout.received_at, slot.rollout.id))
            for slot in free[:limit]:
                slot.lease_owner, slot.lease_until = owner, now + timedelta(seconds=lease_seconds)
            return [slot.rollout for slot in free[:limit]]

    def give_back(self, rollout_id: str, *, owner: str, due_in_seconds: float) -> None:
        """Drop the lease without a change."""
        with self._state.lock:
            slot = self._state.rollouts.get(rollout_id)
            if slot is not None and slot.lease_owner == owner:
                slot.lease_owner = slot.lease_until = None
                slot.due_at = self._state.clock.now() + timedelta(seconds=due_in_seconds)

    def apply(self, changes: Sequence[Change]) -> None:
        """Write transitions, all or none."""
        state = self._state
        with state.lock:
            self._check(changes)
            for change in changes:
                slot = self._slot(change.before.id)
                slot.rollout = change.after.model_copy(update={"revision": change.before.revision + 1})
                slot.history.append(change.transition)
                slot.changed = state.next_change()
                slot.lease_owner = slot.lease_until = None
                slot.due_at = state.clock.now()
                state.add_events(change.events)
            if changes:
                state.wake("rollouts")

    def allocate_version(self, rollout_id: str) -> int:
        """Next version of the served name, the same again for the same rollout."""
        state = self._state
        with state.lock:
            slot = self._slot(rollout_id)
            if slot.allocated is None:
                key = (slot.rollout.customer, slot.rollout.model)
                slot.allocated = state.versions[key] = state.versions.get(key, 0) + 1
            return slot.allocated

    def live(self, customer: str, model: str) -> Rollout | None:
        """What the pool should answer with."""
        with self._state.lock:
            found = [
                slot
                for slot in self._state.rollouts.values()
                if (slot.rollout.customer, slot.rollout.model) == (customer, model) and self._answers(slot.rollout)
            ]
        newest = max(found, key=lambda slot: (slot.rollout.phase is Phase.LIVE, slot.changed), default=None)
        return None if newest is None else newest.rollout

    def _answers(self, rollout: Rollout) -> bool:
        row = self._state.onboardings.get(rollout.customer)
        left_at = None if row is None else row.left_at
        stays = left_at is None or rollout.received_at > left_at
        return rollout.phase is Phase.LIVE or (rollout.phase is Phase.SETTLED and stays)

    def quarantine(self, entry: Quarantine) -> None:
        """Refuse that digest from now on."""
        with self._state.lock:
            self._state.quarantines.setdefault(entry.digest, entry)

    def quarantined(self, digest: str) -> Quarantine | None:
        """The entry, if the digest is refused."""
        with self._state.lock:
            return self._state.quarantines.get(digest)

    def release(self, digest: str) -> bool:
        """Take the digest out of quarantine."""
        with self._state.lock:
            return self._state.quarantines.pop(digest, None) is not None

    def quarantines(self) -> Sequence[Quarantine]:
        """All entries, newest first."""
        with self._state.lock:
            return sorted(self._state.quarantines.values(), key=lambda entry: (entry.at, entry.digest), reverse=True)

    def _known(self, rollout: Rollout) -> bool:
        key = (rollout.customer, rollout.model, rollout.digest)
        held = (slot.rollout for slot in self._state.rollouts.values())
        return any(row.id == rollout.id or (row.customer, row.model, row.digest) == key for row in held)

    def _slot(self, rollout_id: str) -> RolloutSlot:
        slot = self._state.rollouts.get(rollout_id)
        if slot is None:
            raise NotFound(f"there is no rollout {rollout_id!r}")
        return slot

    def _check(self, changes: Sequence[Change]) -> None:
        after = {slot.rollout.id: slot.rollout for slot in self._state.rollouts.values()}
        for change in changes:
            slot = self._slot(change.before.id)
            if slot.rollout.revision != change.before.revision:
                raise Conflict(f"rollout {change.before.id} changed since it was read")
            if any(line.sequence == change.transition.sequence for line in slot.history):
                raise Conflict(f"rollout {change.before.id} has a transition {change.transition.sequence} already")
            after[change.before.id] = change.after
        held: set[tuple[str, str]] = set()
        for row in after.values():
            if row.phase in EXCLUSIVE:
                if (row.customer, row.model) in held:
                    raise Conflict(f"{row.name} has another rollout between CANARY and LIVE")
                held.add((row.customer, row.model))


def _matches(row: Rollout, query: RolloutQuery) -> bool:
    return (
        query.customer in (None, row.customer)
        and query.model in (None, row.model)
        and query.pool in (None, row.pool)
        and query.run_id in (None, row.run_id, run_of(row.run_id))
        and (query.phases is None or row.phase in query.phases)
        and (query.before is None or row.received_at < query.before)
    )
