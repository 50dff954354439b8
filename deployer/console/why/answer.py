"""The shape of an explanation: steps, a headline, and what to do next. Pure; the command line reads it too."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from deployer.console.views import ActionView, View


class StepState(StrEnum):
    """How one step of the way stands."""

    DONE = "done"
    RUNNING = "running"
    #: Nothing happens until something else does: a person, an earlier step.
    WAITING = "waiting"
    FAILED = "failed"
    #: Not needed, or never reached.
    SKIPPED = "skipped"
    #: The part that knows does not answer.
    UNKNOWN = "unknown"


class WhyStep(View):
    """One step from event to replica."""

    #: Stable name: ``event``, ``run``, ``artifact``, ``canary``, ``approval``, ``generation``, ``replicas``,
    #: or ``replica:<node>``.
    key: str
    title: str
    state: StepState
    #: One sentence in plain words.
    sentence: str
    at: AwareDatetime | None = None
    #: Seconds since the step before it was done.
    seconds: float | None = None
    facts: dict[str, object] = Field(default_factory=dict)


class Advice(View):
    """What to do next."""

    sentence: str
    #: A command to copy, if there is one.
    command: str | None = None
    #: Path of a runbook in this repository.
    runbook: str | None = None


class WhyAnswer(View):
    """One walk through event, run, artifact, canary, generation and each replica."""

    customer: str
    model: str
    name: str
    #: The whole answer in one or two sentences.
    sentence: str
    #: Whether every replica answers with the version that it should.
    serving: bool
    #: The version that the pool should answer with.
    version: int | None = None
    rollout_id: str | None = None
    #: Of the whole way, and its page in the tracing tool, as far as they are known.
    trace_id: str | None = None
    trace_page: str | None = None
    steps: tuple[WhyStep, ...]
    next: Advice
    #: What may be done about what answers now.
    actions: tuple[ActionView, ...] = ()
