"""Workers: take rows that nobody holds, do one step each, and go on at once while there is something to do."""

from __future__ import annotations

import logging
from queue import Empty
from typing import Final

from deployer.rollout.controller import WORKED, Controller
from deployer.rollout.outcome import Later
from deployer.rollout.parts import Parts
from roost.contracts.errors import Conflict, Permanent, Retryable
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import RolloutQuery

log = logging.getLogger(__name__)

#: Back-off after a dependency did not answer: half of what it has waited already, within these bounds.
_BACK_OFF: Final = (0.5, 30.0)
_LOST_RACE: Final = 0.2
#: A rollout that met a bug is tried again so seldom: a release may have mended it.
_REST: Final = 60.0


class Worker:
    """One worker. Several of them, in any number of processes, share the ledger's rows."""

    def __init__(self, parts: Parts, controller: Controller, *, name: str, lease_seconds: float) -> None:
        """`name` is unique among all workers of all processes."""
        self._parts = parts
        self._controller = controller
        self._name = name
        self._lease_seconds = lease_seconds

    def step(self) -> bool:
        """Take one row and do its step. Returns whether there was one.

        Raises `DatabaseUnavailable`; any other outage is the row's own trouble, and it comes back later.
        """
        self._take_freed()
        ledger = self._parts.ledger
        claimed = ledger.claim(WORKED, owner=self._name, limit=1, lease_seconds=self._lease_seconds)
        for rollout in claimed:
            later = self._try(rollout)
            if later is not None:
                ledger.give_back(rollout.id, owner=self._name, due_in_seconds=later.seconds)
        return bool(claimed)

    def _take_freed(self) -> None:
        """A rollout that waited for its name's place goes on at once, not when it would look again."""
        try:
            customer, model = self._parts.freed.get_nowait()
        except Empty:
            return
        query = RolloutQuery(customer=customer, model=model, phases=frozenset({Phase.VETTED}), limit=100)
        for rollout in self._parts.ledger.rollouts(query):
            self._try(rollout)

    def _try(self, rollout: Rollout) -> Later | None:
        try:
            outcome = self._controller.step(rollout)
        except Retryable as error:
            return self._backed_off(rollout, error)
        except Permanent as error:
            return self._refused(rollout, error)
        except Exception as error:  # noqa: BLE001 (what follows is the decision: this row rests, and nothing of it was written)
            return self._faulty(rollout, error)
        return outcome if isinstance(outcome, Later) else None

    def _refused(self, rollout: Rollout, error: Permanent) -> Later | None:
        """What will fail again however often it is tried ends this rollout, and nobody else's."""
        try:
            self._parts.write([self._parts.move(rollout, Phase.REJECTED, self._parts.cause(rollout, str(error)))])
        except Conflict:
            return Later(seconds=_LOST_RACE, reason=str(error))
        return None

    def _faulty(self, rollout: Rollout, error: Exception) -> Later:
        """A bug that one rollout meets rests that rollout. A row that ends the process is met again by the next one."""
        reason = self._parts.report_bug(rollout, error)
        return Later(seconds=_REST, reason=reason)

    def _backed_off(self, rollout: Rollout, error: Retryable) -> Later:
        """An outage never ends a rollout: it waits, is logged, and is reported once it is past its deadline."""
        now = self._parts.clock.now()
        waited = (now - rollout.entered_at).total_seconds()
        seconds = min(_BACK_OFF[1], max(_BACK_OFF[0], waited / 2))
        log.warning(
            "rollout %s waits %.1f s: %s",
            rollout.id,
            seconds,
            error,
            extra={"action": "retry", "rollout_id": rollout.id, "customer": rollout.customer},
        )
        if rollout.deadline is not None and now >= rollout.deadline:
            self._report_late(rollout, error)
        return Later(seconds=seconds, reason=str(error))

    def _report_late(self, rollout: Rollout, error: Retryable) -> None:
        reason = f"Rollout {rollout.id} is {rollout.phase} past its deadline and goes on trying: {error}"
        event = self._parts.operation(
            "rollout.late", reason, key=f"{rollout.id}/{rollout.phase}", customer=rollout.customer, pool=rollout.pool
        )
        self._parts.ledger.add_events([event])
