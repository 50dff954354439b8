"""What to do next, for `why`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from deployer.console.why.answer import Advice, StepState, WhyStep
from deployer.console.why.evidence import Evidence
from deployer.console.why.way import BEFORE_CANARY
from deployer.domain.scopes import read
from roost.contracts.events import Command
from roost.contracts.ids import DEFAULT_MODEL
from roost.contracts.rollout import Phase
from roost.ports.ledger import Freeze, Onboarding, OnboardingStage

_RUNBOOKS: Final = "docs/runbooks"
_STUCK: Final = f"{_RUNBOOKS}/stuck-rollout.md"


def advise(evidence: Evidence, steps: Sequence[WhyStep]) -> Advice:
    """The one thing that helps most now. Replicas come first: they are what customers meet."""
    replicas = [step for step in steps if step.key.startswith("replica:")]
    broken = [step for step in replicas if step.state is StepState.FAILED]
    if broken:
        answered = any(step.state is StepState.DONE for step in replicas)
        meanwhile = "the others answer meanwhile" if answered else "no replica answers with what it should"
        sentence = f"See to {broken[0].title} first: {meanwhile}."
        return Advice(sentence=sentence, command="roost status", runbook=f"{_RUNBOOKS}/node-behind.md")
    if evidence.onboarding is not None and evidence.onboarding.stage is OnboardingStage.LEAVING:
        return _leaving(evidence.onboarding)
    if evidence.rollout is None:
        return _before_rollout(evidence, steps)
    by_phase = _BY_PHASE.get(evidence.rollout.phase)
    return by_phase(evidence) if by_phase else _under_way(evidence)


def _leaving(row: Onboarding) -> Advice:
    if row.error is None:
        return Advice(sentence="Nothing: the customer has left and their models are being retired.")
    sentence = f"The customer has left, and their retirement does not get on: {row.error}"
    return Advice(sentence=sentence, command="roost status", runbook=f"{_RUNBOOKS}/airflow-down.md")


def _before_rollout(evidence: Evidence, steps: Sequence[WhyStep]) -> Advice:
    run = next(step for step in steps if step.key == "run")
    if run.state is StepState.FAILED:
        sentence = "Mend the cause (the run's log in Airflow has more), and train again."
        return Advice(sentence=sentence, command=_train(evidence))
    refused = run.state is StepState.WAITING and evidence.onboarding is not None and evidence.onboarding.error
    if run.state is StepState.UNKNOWN or refused:
        sentence = "See whether Airflow is up; the signup consumer goes on by itself once it is."
        return Advice(sentence=sentence, command="roost status", runbook=f"{_RUNBOOKS}/airflow-down.md")
    if run.state is StepState.DONE:
        sentence = "The event is on its way, or the broker or the model-ready consumer is down."
        return Advice(sentence=sentence, command="roost status", runbook=f"{_RUNBOOKS}/broker-down.md")
    return Advice(sentence="Nothing: it goes on by itself. Look again in a minute.")


def _awaiting(evidence: Evidence) -> Advice:
    if evidence.freezes:
        sentence = "It waits for the thaw. Thaw if the reason for the freeze is gone."
        return Advice(sentence=sentence, command=_let_go("thaw", evidence.freezes[0]), runbook=_STUCK)
    if Command.APPROVE in evidence.taken:
        sentence = "Read the canary's checks, then approve or reject it."
        return Advice(sentence=sentence, command=_command("approve", evidence), runbook=_STUCK)
    sentence = "It can no longer be approved: a newer version answers, or its artifact is quarantined. Reject it."
    return Advice(sentence=sentence, command=_command("reject", evidence), runbook=_STUCK)


def _halted(evidence: Evidence) -> Advice:
    back = next((verb for verb in (Command.ROLLBACK, Command.REJECT) if verb in evidence.taken), None)
    words = {Command.ROLLBACK: ", or roll back", Command.REJECT: ", or end its serving by a reject", None: ""}
    if Command.RETRY in evidence.taken:
        sentence = f"It could go neither on nor back. Mend what its reason names, then retry{words[back]}."
        return Advice(sentence=sentence, command=_command("retry", evidence), runbook=_STUCK)
    sentence = "It could go neither on nor back, and cannot be tried again as it is. Take it back."
    return Advice(sentence=sentence, command=_command(back, evidence) if back else None, runbook=_STUCK)


def _rejected(evidence: Evidence) -> Advice:
    before = "what answered before still answers" if evidence.live else "until then nothing of it is served"
    sentence = f"Mend what the reason names and train again; {before}."
    return Advice(sentence=sentence, command=_train(evidence), runbook=f"{_RUNBOOKS}/rejected-artifact.md")


def _rolled_back(evidence: Evidence) -> Advice:
    kept = " Its digest stays refused until somebody releases it." if evidence.quarantine else ""
    before = "The version before it answers." if evidence.live else "Nothing answers in its place."
    sentence = f"{before}{kept} Train again once the cause is mended."
    return Advice(sentence=sentence, command=_train(evidence), runbook=f"{_RUNBOOKS}/rollback.md")


def _cancelled(evidence: Evidence) -> Advice:
    sentence = "A person said no, or nobody answered in time. Train again if it is wanted."
    return Advice(sentence=sentence, command=_train(evidence))


def _nothing(evidence: Evidence) -> Advice:
    if evidence.failed_since is not None:
        sentence = "What answered before still answers. Mend what failed the newest training run, and train again."
        return Advice(sentence=sentence, command=_train(evidence))
    return Advice(sentence="Nothing to do.")


def _under_way(evidence: Evidence) -> Advice:
    rollout = evidence.rollout
    if evidence.pauses and rollout is not None and rollout.phase in BEFORE_CANARY:
        sentence = "It waits for the end of the pause. Resume if its reason is gone."
        return Advice(sentence=sentence, command=_let_go("resume", evidence.pauses[0]), runbook=_STUCK)
    if rollout is not None and rollout.deadline is not None and rollout.deadline < evidence.now:
        sentence = "Its phase's deadline has passed and nothing moved: see whether the deployer is up."
        return Advice(sentence=sentence, command="roost status", runbook=_STUCK)
    return Advice(sentence="Nothing: it goes on by itself. Look again in a moment.")


def _let_go(verb: str, hold: Freeze) -> str:
    scope = read(hold.scope).scope
    target = f" --rollout {scope.rollout_id}" if scope.rollout_id else f" {scope.customer}" if scope.customer else ""
    return f'roost {verb}{target} --reason "…"'


def _command(verb: str, evidence: Evidence) -> str:
    model = "" if evidence.model == DEFAULT_MODEL else f" --model {evidence.model}"
    return f'roost {verb} {evidence.customer}{model} --reason "…"'


def _train(evidence: Evidence) -> str:
    return f'roost train {evidence.customer} --reason "…"'


_BY_PHASE: Final[dict[Phase, Callable[[Evidence], Advice]]] = {
    Phase.AWAITING_APPROVAL: _awaiting,
    Phase.HALTED: _halted,
    Phase.REJECTED: _rejected,
    Phase.ROLLED_BACK: _rolled_back,
    Phase.CANCELLED: _cancelled,
    Phase.LIVE: _nothing,
    Phase.SETTLED: _nothing,
    Phase.SUPERSEDED: _nothing,
}
