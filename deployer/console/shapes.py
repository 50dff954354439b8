"""From the ledger's values to the API's shapes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deployer.console import views
from deployer.domain import scopes
from roost.contracts.cloudevents import Event
from roost.contracts.rollout import Rollout, Transition
from roost.contracts.trace_context import trace_id
from roost.ports.ledger import CommandRow, Freeze, Onboarding, OutboxRow, Quarantine


def summary(rollout: Rollout) -> views.RolloutSummary:
    """One line of the list."""
    return views.RolloutSummary(
        id=rollout.id,
        customer=rollout.customer,
        model=rollout.model,
        name=rollout.name,
        pool=rollout.pool,
        phase=rollout.phase,
        terminal=rollout.terminal,
        version=rollout.version,
        previous_version=rollout.previous_version,
        run_id=rollout.run_id,
        digest=rollout.digest,
        trained_at=rollout.trained_at,
        received_at=rollout.received_at,
        entered_at=rollout.entered_at,
        deadline=rollout.deadline,
        outcome=rollout.verdict.outcome if rollout.verdict else None,
        reason=rollout.reason,
        approved_by=rollout.approved_by,
        load_generation=rollout.load_generation,
        flip_generation=rollout.flip_generation,
        skew_ms=rollout.skew_ms,
        wave_id=rollout.wave_id,
        trace_id=trace_id(rollout.traceparent),
    )


def history(lines: Sequence[Transition]) -> tuple[views.TransitionView, ...]:
    """The lines, each with the seconds since the one before."""
    found: list[views.TransitionView] = []
    for line in lines:
        seconds = (line.at - found[-1].at).total_seconds() if found else None
        found.append(
            views.TransitionView(
                sequence=line.sequence,
                before=line.before,
                after=line.after,
                at=line.at,
                seconds=seconds,
                actor=line.actor,
                reason=line.reason,
                facts=line.facts,
            )
        )
    return tuple(found)


def onboarding(row: Onboarding) -> views.OnboardingView:
    """A customer's row."""
    return views.OnboardingView(
        customer=row.customer,
        model=row.model,
        name=row.name,
        stage=row.stage.value,
        event_id=row.event_id,
        signed_up_at=row.signed_up_at,
        airflow_run_id=row.airflow_run_id,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        error=row.error,
    )


def quarantine(entry: Quarantine) -> views.QuarantineView:
    """A refused digest."""
    return views.QuarantineView(
        digest=entry.digest,
        customer=entry.customer,
        model=entry.model,
        reason=entry.reason,
        actor=entry.actor,
        at=entry.at,
    )


def freeze(entry: Freeze) -> views.FreezeView:
    """A freeze or a pause that stands: the ledger keeps both as freezes, told apart by their scope."""
    held = scopes.read(entry.scope)
    return views.FreezeView(
        kind=views.Hold.PAUSE if held.paused else views.Hold.FREEZE,
        scope=held.scope.key,
        customer=held.scope.customer,
        rollout_id=held.scope.rollout_id,
        words=held.scope.words,
        reason=entry.reason,
        actor=entry.actor,
        at=entry.at,
    )


def command(row: CommandRow) -> views.CommandView:
    """A command and its outcome."""
    asked = row.command
    return views.CommandView(
        event_id=row.event_id,
        command=asked.command,
        actor=asked.actor,
        reason=asked.reason,
        rollout_id=asked.rollout_id,
        customer=asked.customer,
        model=asked.model,
        digest=asked.digest,
        received_at=row.received_at,
        done_at=row.done_at,
        seconds=(row.done_at - row.received_at).total_seconds() if row.done_at else None,
        outcome=row.outcome,
    )


def event(row: OutboxRow) -> views.EventView:
    """An event with its sequence."""
    found: Event = row.event
    return views.EventView(
        sequence=row.sequence,
        id=found.id,
        type=found.type,
        subject=found.subject,
        time=found.time,
        data=found.data.model_dump(mode="json"),
    )
