"""The transition table: which phase may follow which, and what a transition is made of."""

# The usual way, without the ends that every phase before PROMOTING may also find:
#
#    RECEIVED ─▶ STORED ─▶ VETTED ─▶ CANARY ─┬─────────────────────▶ PROMOTING ─▶ LIVE ─▶ SETTLED
#                                            └▶ AWAITING_APPROVAL ──▶    │         │        │
#                                                                        └────▶ ROLLING_BACK ─▶ ROLLED_BACK

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from roost.contracts.cloudevents import Event
from roost.contracts.errors import Conflict
from roost.contracts.policy import Rules
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.contracts.rollout_events import transition_event
from roost.contracts.wording import keepable

#: Who acts where no person does.
DEPLOYER: Final = "deployer"
SOURCE: Final = "roost/deployer"

#: Phase to those that may follow. One look-up decides every transition in Roost.
TABLE: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.RECEIVED: frozenset({Phase.STORED, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED}),
    Phase.STORED: frozenset({Phase.VETTED, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED}),
    Phase.VETTED: frozenset({Phase.CANARY, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED}),
    Phase.CANARY: frozenset(
        {Phase.PROMOTING, Phase.AWAITING_APPROVAL, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED}
    ),
    Phase.AWAITING_APPROVAL: frozenset({Phase.PROMOTING, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED}),
    Phase.PROMOTING: frozenset({Phase.LIVE, Phase.ROLLING_BACK}),
    Phase.LIVE: frozenset({Phase.SETTLED, Phase.ROLLING_BACK, Phase.HALTED}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.HALTED}),
    Phase.HALTED: frozenset({Phase.PROMOTING, Phase.ROLLING_BACK, Phase.CANCELLED}),
    # An end that only a person reopens, by a rollback of what has answered for long.
    Phase.SETTLED: frozenset({Phase.ROLLING_BACK}),
    Phase.REJECTED: frozenset(),
    Phase.SUPERSEDED: frozenset(),
    Phase.CANCELLED: frozenset(),
    Phase.ROLLED_BACK: frozenset(),
}


class TransitionRefused(Conflict):
    """The table does not let that phase follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a rollout moves: when, by whom, one sentence, and numbers worth keeping."""

    at: datetime
    reason: str
    actor: str = DEPLOYER
    facts: Mapping[str, object] = field(default_factory=dict)
    #: Page that shows what was found.
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One transition, ready to be written: the row before and after, the history line, the one event of it."""

    before: Rollout
    after: Rollout
    transition: Transition
    event: Event


def transition(rollout: Rollout, after: Phase, cause: Cause, **fields: object) -> Step:
    """The rollout in phase `after`, with `fields` of the row replaced.

    Raises:
        TransitionRefused: naming both phases, where the table has no such row.
    """
    if after not in TABLE[rollout.phase]:
        raise TransitionRefused(f"rollout {rollout.id} is {rollout.phase}; it cannot become {after}")
    reason = keepable(cause.reason)
    changed = {
        "phase": after,
        "reason": reason,
        "entered_at": cause.at,
        "deadline": None,
        **fields,
        "revision": rollout.revision + 1,
    }
    moved = Rollout.model_validate({**rollout.model_dump(), **changed})
    line = Transition(
        rollout_id=rollout.id,
        # Its first line, 1, was written when it was received, at revision 0.
        sequence=moved.revision + 1,
        before=rollout.phase,
        after=after,
        at=cause.at,
        actor=cause.actor,
        reason=reason,
        facts=dict(cause.facts),
    )
    event = transition_event(moved, line, source=SOURCE, evidence=cause.evidence, traceparent=rollout.traceparent)
    return Step(before=rollout, after=moved, transition=line, event=event)


def deadline(phase: Phase, entered_at: datetime, rules: Rules) -> datetime | None:
    """When a rollout that entered `phase` must have left it; for LIVE, when its bake is over. None: it may stay.

    The policy names each deadline after what the phase's work achieves: a RECEIVED rollout has ``stored`` seconds.
    """
    seconds = {
        Phase.RECEIVED: rules.deadlines.stored,
        Phase.STORED: rules.deadlines.vetted,
        Phase.CANARY: rules.deadlines.canary,
        Phase.AWAITING_APPROVAL: rules.deadlines.approval,
        Phase.PROMOTING: rules.deadlines.promoting,
        Phase.LIVE: rules.bake_seconds,
        Phase.ROLLING_BACK: rules.deadlines.rolling_back,
    }.get(phase)
    return None if seconds is None else entered_at + timedelta(seconds=seconds)
