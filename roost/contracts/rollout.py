"""A rollout: one artifact's way from `models.ready` to every replica. Phases, record, and what a transition is.

Which phase may follow which is decided in one table, `deployer.domain.transitions`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime, Field

from roost.contracts.ids import CustomerId, Digest, ModelId, PoolId, RunId, served_name
from roost.contracts.manifest import Frozen
from roost.contracts.trace_context import within
from roost.contracts.verdict import Verdict


class Phase(StrEnum):
    """Where a rollout stands. The first eight are on the way, the rest are ends, HALTED waits for a person."""

    #: The row exists.
    RECEIVED = "RECEIVED"
    #: A version is allocated; the artifact is copied and verified by reading back.
    STORED = "STORED"
    #: Operators, signature, size, digest and quarantine are in order.
    VETTED = "VETTED"
    #: On the isolated node: loading, being measured, checks running.
    CANARY = "CANARY"
    #: Waits for a person, or for a thaw.
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    #: In the pool's desired state, becoming loaded, flipped and proved on every ready node.
    PROMOTING = "PROMOTING"
    #: Answers `stable` everywhere; the previous version stays loaded until the bake is over.
    LIVE = "LIVE"
    #: Being taken back.
    ROLLING_BACK = "ROLLING_BACK"
    #: End: bake over, previous version unloaded.
    SETTLED = "SETTLED"
    #: End: refused by name.
    REJECTED = "REJECTED"
    #: End: a newer one came first.
    SUPERSEDED = "SUPERSEDED"
    #: End: a person said no, or the approval expired.
    CANCELLED = "CANCELLED"
    #: End: was live or on the way, and was taken back.
    ROLLED_BACK = "ROLLED_BACK"
    #: Could not go on or back by itself: a person is asked.
    HALTED = "HALTED"


#: Nothing follows these. HALTED is not among them: a person can retry, roll back or cancel it.
TERMINAL: frozenset[Phase] = frozenset(
    {Phase.SETTLED, Phase.REJECTED, Phase.SUPERSEDED, Phase.CANCELLED, Phase.ROLLED_BACK}
)

#: The customer has an answer, or somebody said why there is none.
ANSWERED: frozenset[Phase] = TERMINAL | {Phase.LIVE}

#: At most one rollout per served name is in one of these at a time.
EXCLUSIVE: frozenset[Phase] = frozenset(
    {Phase.CANARY, Phase.AWAITING_APPROVAL, Phase.PROMOTING, Phase.LIVE, Phase.ROLLING_BACK, Phase.HALTED}
)

#: Key in a rollout's facts: its record was made again, and nobody knows what answered before it.
PREVIOUS_UNKNOWN: Final = "previous_unknown"


class Rollout(Frozen):
    """One row: a rollout as it stands. `revision` grows by one with each write and guards it."""

    id: str
    customer: CustomerId
    model: ModelId
    pool: PoolId
    phase: Phase
    run_id: RunId
    digest: Digest
    #: ``gs://bucket/staging/<customer>/<model>/<run_id>/``
    artifact_uri: str
    trained_at: AwareDatetime
    received_at: AwareDatetime
    #: When it entered its phase, and when that phase's deadline is.
    entered_at: AwareDatetime
    deadline: AwareDatetime | None = None
    #: Allocated at STORED; 0 before.
    version: int = Field(default=0, ge=0)
    #: The stable version when this one was promoted; None if it is the first.
    previous_version: int | None = None
    verdict: Verdict | None = None
    #: Pool generation that listed it, and the one that flipped to it.
    load_generation: int | None = None
    flip_generation: int | None = None
    #: First to last node on the new version.
    skew_ms: float | None = None
    approved_by: str | None = None
    #: Why it is in its phase: one sentence.
    reason: str = ""
    wave_id: str | None = None
    #: What the event said of the run: metrics, code version, window, scope.
    facts: dict[str, object] = Field(default_factory=dict)
    #: W3C trace context of the event that brought it, if any: what is done for it belongs to that trace.
    traceparent: str | None = None
    revision: int = 0

    @property
    def name(self) -> str:
        """Served name."""
        return served_name(self.customer, self.model)

    @property
    def place(self) -> str | None:
        """Where in its trace belongs what is done for it in the phase it is in; None where it has no trace."""
        return within(self.traceparent, f"{self.id}/{self.revision}")

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self.phase in TERMINAL


class Transition(Frozen):
    """One line of a rollout's history. Append-only."""

    rollout_id: str
    #: 1, 2, 3… within the rollout.
    sequence: int
    before: Phase | None
    after: Phase
    at: AwareDatetime
    #: ``deployer`` or a person.
    actor: str
    #: One sentence.
    reason: str
    #: Numbers worth keeping: seconds per step, generation, skew.
    facts: dict[str, object] = Field(default_factory=dict)

    @classmethod
    def first(cls, rollout: Rollout) -> Transition:
        """The line with which a rollout's history begins: it was received."""
        return cls(
            rollout_id=rollout.id,
            sequence=1,
            before=None,
            after=rollout.phase,
            at=rollout.received_at,
            actor="consumer",
            reason=rollout.reason,
        )
