"""What every part of the deployer is given, and how it writes transitions."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final, Protocol

from deployer.domain.transitions import DEPLOYER, SOURCE, Cause, Step, deadline, transition
from roost.contracts.cloudevents import Event
from roost.contracts.desired import LoadingOrder
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.policy import RestartPolicy, Rules
from roost.contracts.rollout import EXCLUSIVE, Phase, Rollout
from roost.contracts.wording import keepable
from roost.ports.clock import Clock
from roost.ports.ledger import (
    Change,
    CommandLedger,
    Generations,
    Housekeeping,
    Leases,
    OnboardingLedger,
    Outbox,
    RolloutLedger,
)
from roost.ports.object_store import ObjectStore
from roost.telemetry import metrics, rollout_spans, tracing

log = logging.getLogger(__name__)

_OPERATION_IDS: Final = uuid.UUID("1d0a62c4-9a53-5c0e-8f3f-6f3d6a0b9c21")


class Ledger(OnboardingLedger, RolloutLedger, CommandLedger, Outbox, Housekeeping, Leases, Generations, Protocol):
    """The whole ledger: one adapter implements all of it."""


class PolicyNow(Protocol):
    """The policy that is in force when it is asked."""

    def rules_for(self, customer: str) -> Rules:
        """Rules of one customer."""

    def loading(self, pool: str) -> LoadingOrder:
        """What the nodes of that pool do first where a version takes another's place."""

    @property
    def restart(self) -> RestartPolicy:
        """What is restarted, and when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The deployer's dependencies, wired once in `deployer.wiring`."""

    ledger: Ledger
    store: ObjectStore
    policy: PolicyNow
    clock: Clock
    #: Holder of leases: unique per process.
    owner: str = field(default_factory=lambda: f"deployer-{uuid.uuid4().hex[:12]}")
    #: How people reach the console; events link to it.
    console_url: str = ""
    #: (customer, model) of names whose one place between CANARY and LIVE became free: workers look there first.
    freed: SimpleQueue[tuple[str, str]] = field(default_factory=SimpleQueue)

    def rules(self, rollout: Rollout) -> Rules:
        """The policy's rules for the rollout's customer."""
        return self.policy.rules_for(rollout.customer)

    def move(self, rollout: Rollout, after: Phase, cause: Cause, **fields: object) -> Step:
        """A step with the policy's deadline of the phase entered. Raises `TransitionRefused`."""
        due = deadline(after, cause.at, self.rules(rollout))
        return transition(rollout, after, cause, **{"deadline": due, **fields})

    def cause(
        self, rollout: Rollout, reason: str, *, actor: str = DEPLOYER, facts: Mapping[str, object] | None = None
    ) -> Cause:
        """A cause of now, linking to the rollout's page."""
        evidence = f"{self.console_url}/rollouts/{rollout.id}" if self.console_url else None
        return Cause(at=self.clock.now(), reason=reason, actor=actor, facts=facts or {}, evidence=evidence)

    def write(self, steps: Sequence[Step]) -> None:
        """Write transitions with their events, all or none; one log line and one count each.

        Raises `Conflict` where a row changed since it was read.
        """
        self.ledger.apply(_changes(steps))
        self._written(steps)

    def carry_out(self, command: str, steps: Sequence[Step], *, outcome: str, event: Event) -> None:
        """Write a command's transitions and close it, all or none: one that is repeated must not find a next target.

        Raises `Conflict` as `write` does; then the command stays open.
        """
        now, changes = self.clock.now(), _changes(steps)
        if self.ledger.close_command(command, outcome=outcome, at=now, events=[event], changes=changes):
            self._written(steps)

    def _written(self, steps: Sequence[Step]) -> None:
        for step in steps:
            metrics.TRANSITIONS.labels(phase=step.after.phase).inc()
            rollout_spans.phase_over(step.before, step.after)
            with tracing.bound(step.before.place):
                _log(step)
            if step.before.phase in EXCLUSIVE and step.after.phase not in EXCLUSIVE:
                self.freed.put((step.after.customer, step.after.model))

    def report_bug(self, rollout: Rollout, error: Exception) -> str:
        """Tell of a bug that one rollout met: its traceback in the log, one event. Returns the sentence.

        Called while the error is handled; the caller lets that rollout rest and goes on with the others.
        """
        log.error(
            "rollout %s met a bug",
            rollout.id,
            exc_info=error,
            extra={"action": "bug", "rollout_id": rollout.id, "customer": rollout.customer},
        )
        reason = f"Rollout {rollout.id} rests in {rollout.phase}: a bug in Roost, {type(error).__name__}: {error}"
        key, known = f"{rollout.id}/{rollout.phase}", {"customer": rollout.customer, "pool": rollout.pool}
        self.ledger.add_events([self.operation("rollout.bug", reason, key=key, **known)])
        return reason

    def held(self, scopes: tuple[str, ...]) -> str | None:
        """Reason of a freeze or a pause that stands for one of these stored scopes, if any."""
        return next((entry.reason for entry in self.ledger.freezes() if entry.scope in scopes), None)

    def operation(self, what: str, reason: str, *, key: str, **known: object) -> Event:
        """An event that belongs to no single rollout. The same `what` and `key` give the same event id."""
        payload = OperationReported.model_validate(
            {"what": what, "actor": DEPLOYER, **known, "reason": keepable(reason)}
        )
        return Event(
            id=str(uuid.uuid5(_OPERATION_IDS, f"{what}/{key}")),
            type=OPERATION_REPORTED,
            source=SOURCE,
            subject=payload.customer or payload.pool or "fleet",
            time=self.clock.now(),
            data=payload,
        )


def _changes(steps: Sequence[Step]) -> list[Change]:
    return [
        Change(before=step.before, after=step.after, transition=step.transition, events=(step.event,)) for step in steps
    ]


def _log(step: Step) -> None:
    row = step.after
    log.info(
        "%s version %d is %s: %s",
        row.name,
        row.version,
        row.phase,
        row.reason,
        extra={
            "action": "transition",
            "customer": row.customer,
            "model": row.model,
            "version": row.version,
            "rollout_id": row.id,
            "generation": row.flip_generation or row.load_generation,
        },
    )
