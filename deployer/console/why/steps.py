"""The steps from the signup event to the generation. Pure: each takes what is known and gives one step."""

from __future__ import annotations

from deployer.console.plain_words import amount, seconds_text
from deployer.console.why.answer import StepState, WhyStep
from deployer.console.why.evidence import Evidence
from deployer.console.why.way import Way
from deployer.domain.approval import BY_POLICY
from deployer.domain.scopes import read
from roost.contracts.rollout import Phase
from roost.contracts.verdict import Outcome
from roost.ports.ledger import OnboardingStage


def event(evidence: Evidence) -> WhyStep:
    """The signup event."""
    row = evidence.onboarding
    if row is None:
        sentence = "No signup event: this model came without one, from a training run."
        return WhyStep(key="event", title="Signup", state=StepState.SKIPPED, sentence=sentence)
    who = row.name or row.customer
    sentence = f"{who} signed up; the event is in the ledger."
    if row.stage in {OnboardingStage.LEAVING, OnboardingStage.GONE}:
        sentence = (
            f"{who} has left: their models {'are being' if row.stage is OnboardingStage.LEAVING else 'were'} retired."
        )
    return WhyStep(
        key="event",
        title="Signup",
        state=StepState.DONE,
        sentence=sentence,
        at=row.signed_up_at,
        facts={"event_id": row.event_id, "stage": row.stage.value, "model": row.model},
    )


def run(evidence: Evidence) -> WhyStep:
    """The training run behind the artifact, or the one that is waited for."""
    run, rollout, row = evidence.run, evidence.rollout, evidence.onboarding
    facts: dict[str, object] = {"run_id": evidence.run_id}
    if run is not None:
        facts |= {"airflow_state": run.state, "url": run.url}
    if rollout is not None:
        metrics = rollout.facts.get("metrics")
        facts |= {key: rollout.facts[key] for key in ("scope", "code_version", "data_window") if key in rollout.facts}
        facts |= metrics if isinstance(metrics, dict) else {}
        sentence = f"Training run {rollout.run_id} staged an artifact and said so."
        if rollout.facts.get("scope") == "cohort":
            sentence += " Their own data were too few: it is a cohort model."
        if evidence.failed_since is not None:
            sentence += f" Since then {evidence.failed_since}"
        return _step("run", "Training", StepState.DONE, sentence, at=rollout.trained_at, facts=facts)
    if row is not None and row.stage is OnboardingStage.REFUSED:
        sentence = f"Airflow refused the run: {row.error or 'it gave no reason'}"
        return _step("run", "Training", StepState.FAILED, sentence, facts=facts)
    if row is not None and row.stage is OnboardingStage.FAILED:
        sentence = f"Training run {row.airflow_run_id} failed: {row.error or 'its log in Airflow says why.'}"
        return _step("run", "Training", StepState.FAILED, sentence, facts=facts)
    if row is not None and row.stage is OnboardingStage.SIGNED_UP:
        attempts = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
        tries = f" {attempts} so far; the last said: {row.error}" if row.error else ""
        sentence = f"Waits for the signup consumer to start the training run.{tries}"
        return _step("run", "Training", StepState.WAITING, sentence, facts=facts)
    if run is None:
        said = f"Airflow does not answer: {evidence.run_error}" if evidence.run_error else "Airflow has no such run."
        return _step("run", "Training", StepState.UNKNOWN, said, facts=facts)
    state = {"failed": StepState.FAILED, "success": StepState.DONE}.get(run.state, StepState.RUNNING)
    said = {
        "failed": f"Training run {run.run_id} failed; its log in Airflow says why.",
        "success": f"Training run {run.run_id} ended well, but no model-ready event has arrived from it.",
        "queued": f"Training run {run.run_id} waits in Airflow's queue.",
    }.get(run.state, f"Training run {run.run_id} is under way.")
    return _step("run", "Training", state, said, facts=facts)


def artifact(way: Way) -> WhyStep:
    """The artifact: copied, read back, vetted."""
    rollout, state = way.rollout, way.state_at(0)
    if rollout is None:
        return _step("artifact", "Artifact", StepState.WAITING, "No artifact has arrived yet.")
    paused = _paused(way)
    said = {
        StepState.WAITING: paused,
        StepState.DONE: f"Copied as version {rollout.version}, read back and verified; its contents are vetted.",
        StepState.RUNNING: "Being copied to its own version, read back and vetted.",
    }.get(state, rollout.reason)
    return _step(
        "artifact",
        "Artifact",
        state,
        said,
        at=way.at(Phase.VETTED) or way.at(Phase.STORED) or rollout.received_at,
        seconds=way.between(Phase.RECEIVED, Phase.VETTED),
        facts={"digest": rollout.digest, "uri": rollout.artifact_uri, "version": rollout.version},
    )


def canary(way: Way) -> WhyStep:
    """The canary: what each check found."""
    rollout, state = way.rollout, way.state_at(1)
    if rollout is None:
        return _step("canary", "Canary", state, _unreached(state))
    verdict, start = rollout.verdict, way.at(Phase.CANARY)
    if verdict is None:
        said = {
            StepState.FAILED: rollout.reason,
            StepState.RUNNING: "Loading on the isolated node; the checks run there.",
            StepState.WAITING: _paused(way) if way.step == 1 else "Not yet.",
        }.get(state, rollout.reason if way.step == 1 else _unreached(state))
        if rollout.phase is Phase.VETTED and state is StepState.RUNNING:
            said = "Waits for its turn on the isolated node."
        return _step("canary", "Canary", state, said, at=start)
    facts: dict[str, object] = {check.check: f"{check.outcome.value}: {check.sentence}" for check in verdict.checks}
    if verdict.outcome is Outcome.FAIL:
        state = StepState.FAILED
    end = way.at(Phase.AWAITING_APPROVAL) or way.at(Phase.PROMOTING) or way.at(Phase.REJECTED)
    seconds = (end - start).total_seconds() if start and end else None
    return _step("canary", "Canary", state, verdict.sentence, at=end or start, seconds=seconds, facts=facts)


def approval(way: Way) -> WhyStep:
    """Whether a person was asked, and what they said."""
    rollout, state = way.rollout, way.state_at(2)
    if rollout is None or way.step < 2:
        return _step("approval", "Approval", state, _unreached(state))
    if state is StepState.DONE:
        person = rollout.approved_by not in {None, BY_POLICY}
        said = f"Approved by {rollout.approved_by}." if person else "The policy asked nobody."
        seconds = way.between(Phase.AWAITING_APPROVAL, Phase.PROMOTING)
        return _step("approval", "Approval", state, said, at=way.at(Phase.PROMOTING), seconds=seconds)
    said, frozen = rollout.reason, way.evidence.freezes
    if state is StepState.WAITING and frozen:
        said = f"Frozen by {frozen[0].actor} ({read(frozen[0].scope).scope.words}): {frozen[0].reason}"
    facts: dict[str, object] = {"deadline": rollout.deadline.isoformat()} if rollout.deadline else {}
    return _step("approval", "Approval", state, said, at=way.at(Phase.AWAITING_APPROVAL), facts=facts)


def generation(way: Way) -> WhyStep:
    """The generation that moved `stable`."""
    rollout, state = way.rollout, way.state_at(3)
    if rollout is None or way.step < 3:
        return _step("generation", "Generation", state, _unreached(state))
    facts: dict[str, object] = {
        "load_generation": rollout.load_generation,
        "flip_generation": rollout.flip_generation,
        "skew_ms": rollout.skew_ms,
    }
    if state is not StepState.DONE:
        return _step("generation", "Generation", state, rollout.reason, at=rollout.entered_at, facts=facts)
    seconds = way.between(Phase.PROMOTING, Phase.LIVE)
    took = f" It took {seconds_text(seconds)}" if seconds is not None else " It is done"
    skew = f", first to last node {amount(rollout.skew_ms)} ms." if rollout.skew_ms is not None else "."
    version = rollout.version
    said = f"Generation {rollout.flip_generation} moved `stable` to version {version} on every ready node.{took}{skew}"
    return _step("generation", "Generation", state, said, at=way.at(Phase.LIVE), seconds=seconds, facts=facts)


def _paused(way: Way) -> str:
    pauses = way.evidence.pauses
    return f"Paused by {pauses[0].actor}: {pauses[0].reason}" if pauses else "Not yet."


def _unreached(state: StepState) -> str:
    return "Not reached." if state is StepState.SKIPPED else "Not yet."


def _step(
    key: str,
    title: str,
    state: StepState,
    sentence: str,
    **rest: object,
) -> WhyStep:
    return WhyStep.model_validate(
        {"key": key, "title": title, "state": state, "sentence": sentence or "No reason was given.", **rest}
    )
