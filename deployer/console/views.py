"""What the REST API answers with. Pure shapes: the command line reads them too.

Answers may gain fields; a client must ignore those that it does not know.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from roost.contracts.events import Command
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome, Verdict


class View(BaseModel):
    """Root of the answers: immutable, tolerant of newer fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RolloutSummary(View):
    """One line of the list of rollouts."""

    id: str
    customer: str
    model: str
    name: str
    pool: str
    phase: Phase
    terminal: bool
    version: int
    previous_version: int | None
    run_id: str
    digest: str
    trained_at: AwareDatetime
    received_at: AwareDatetime
    entered_at: AwareDatetime
    deadline: AwareDatetime | None
    outcome: Outcome | None
    reason: str
    approved_by: str | None
    load_generation: int | None
    flip_generation: int | None
    #: Milliseconds, first to last node on the new version.
    skew_ms: float | None
    wave_id: str | None
    #: Of its whole way, from the signup on; None where no event said one.
    trace_id: str | None = None


class RolloutPage(View):
    """Newest first."""

    items: tuple[RolloutSummary, ...]
    #: Pass as `before` for the next page; None on the last.
    next_before: AwareDatetime | None = None


class TransitionView(View):
    """One line of a rollout's history."""

    sequence: int
    before: Phase | None
    after: Phase
    at: AwareDatetime
    #: Seconds since the line before.
    seconds: float | None
    actor: str
    reason: str
    facts: dict[str, object]


class ReplicaView(View):
    """What one node says of one served name."""

    node: str
    reachable: bool
    generation: int | None = None
    #: Its `stable` version.
    version: int | None = None
    #: Whether it answers with this rollout's version, proved by a prediction.
    serves: bool = False
    load_seconds: float | None = None
    memory_bytes: int | None = None
    flipped_at: AwareDatetime | None = None
    error: str | None = None


class QuarantineView(View):
    """A digest that is refused until somebody releases it."""

    digest: str
    customer: str
    model: str
    reason: str
    actor: str
    at: AwareDatetime


class ActionView(View):
    """A command that the deployer takes now."""

    command: Command
    #: What a person would call it: ``approve``, ``roll back``, ``end serving``.
    words: str
    #: What it comes to.
    effect: str
    #: The rollout that it is about; None for what is held and let go.
    rollout_id: str | None = None


class RolloutDetail(View):
    """One rollout with all that is known of it."""

    rollout: RolloutSummary
    artifact_uri: str
    verdict: Verdict | None
    history: tuple[TransitionView, ...]
    facts: dict[str, object]
    replicas: tuple[ReplicaView, ...]
    #: Why `replicas` is empty, if the nodes could not be asked.
    replicas_error: str | None = None
    quarantine: QuarantineView | None = None
    #: What a person may do about it, the likeliest first: whatever else is asked, the deployer refuses.
    actions: tuple[ActionView, ...] = ()
    #: When it should be live, by those that lately went all the way; None where that cannot be said.
    expected_at: AwareDatetime | None = None
    #: The trace in the tracing tool, where the settings say where that is.
    trace_page: str | None = None


class Hold(StrEnum):
    """What a person holds back."""

    #: Promotions: canaries go on, and what passes waits.
    FREEZE = "freeze"
    #: The steps before the canary.
    PAUSE = "pause"


class FreezeView(View):
    """While it stands, nothing of its scope goes on: of a customer, for a pause also of one rollout, else of all."""

    kind: Hold
    #: ``fleet``, a customer's id (``customer:fleet`` for one who is called so), or ``rollout:`` and a rollout's id.
    scope: str
    #: These are absent from a console of before.
    customer: str | None = None
    rollout_id: str | None = None
    #: Its scope for people.
    words: str = ""
    reason: str
    actor: str
    at: AwareDatetime

    @property
    def of_fleet(self) -> bool:
        """Whether it holds everything."""
        return self.customer is None and self.rollout_id is None


class OnboardingView(View):
    """Where a customer stands."""

    customer: str
    model: str
    name: str
    stage: str
    event_id: str
    signed_up_at: AwareDatetime
    airflow_run_id: str
    attempts: int
    next_attempt_at: AwareDatetime | None
    error: str | None


class CustomerView(View):
    """One customer: how they came, what serves them, what comes next."""

    customer: str
    onboarding: OnboardingView | None
    live: RolloutSummary | None
    newest: RolloutSummary | None
    freezes: tuple[FreezeView, ...]


class EventView(View):
    """One event, as it goes to Kafka."""

    #: Of the ledger; pass the last one as `after`.
    sequence: int
    id: str
    type: str
    subject: str
    time: AwareDatetime
    data: dict[str, object]


class EventPage(View):
    """Oldest first."""

    items: tuple[EventView, ...]
    #: Pass as `after` for what comes later.
    last_sequence: int


class CommandView(View):
    """One command of a person and what became of it."""

    event_id: str
    command: Command
    actor: str
    reason: str
    rollout_id: str | None
    customer: str | None
    model: str
    digest: str | None
    received_at: AwareDatetime
    done_at: AwareDatetime | None
    #: From accepted to done.
    seconds: float | None
    #: One sentence; None until the deployer has handled it.
    outcome: str | None
    #: Whether what was asked for is done or under way; False where the deployer refused it; None where nobody says.
    done: bool | None = None


class Problem(View):
    """An error as RFC 9457 has it, with a remedy."""

    type: str
    title: str
    status: int
    #: What is wrong with this request.
    detail: str
    #: What to do about it.
    remedy: str
    instance: str | None = None
