"""`why`: one walk from the signup event to each replica, in plain words. Pure: evidence in, answer out.

    event -> run -> artifact -> canary -> approval -> generation -> replicas

The newest rollout decides where on this way a customer's model stands; what answers now may be an older version, and
the replicas' step says which.
"""

from __future__ import annotations

from deployer.console.why import steps
from deployer.console.why.advice import advise
from deployer.console.why.answer import StepState, WhyAnswer, WhyStep
from deployer.console.why.evidence import Evidence
from deployer.console.why.replicas import expected_version, replica_steps
from deployer.console.why.way import Way
from roost.contracts.rollout import Phase
from roost.contracts.trace_context import trace_id


def explain(evidence: Evidence) -> WhyAnswer:
    """The answer to "why does this customer get what they get?", and what to do next."""
    way = Way.of(evidence)
    way_steps = (
        steps.event(evidence),
        steps.run(evidence),
        steps.artifact(way),
        steps.canary(way),
        steps.approval(way),
        steps.generation(way),
    )
    replicas = replica_steps(evidence)
    every = (*way_steps, *replicas)
    serving = replicas[0].state is StepState.DONE
    return WhyAnswer(
        customer=evidence.customer,
        model=evidence.model,
        name=evidence.name,
        sentence=_headline(evidence, every),
        serving=serving,
        version=expected_version(evidence),
        rollout_id=evidence.rollout.id if evidence.rollout else None,
        trace_id=_trace(evidence),
        steps=every,
        next=advise(evidence, every),
    )


def _trace(evidence: Evidence) -> str | None:
    """The rollout's; before there is one, the signup's."""
    found = evidence.rollout or evidence.onboarding
    return trace_id(found.traceparent) if found else None


def _headline(evidence: Evidence, steps: tuple[WhyStep, ...]) -> str:
    rollout = evidence.rollout
    replicas = next(step for step in steps if step.key == "replicas")
    if rollout is None:
        current = next((step for step in steps if step.state not in {StepState.DONE, StepState.SKIPPED}), replicas)
        return f"{replicas.sentence} {current.sentence}"
    if rollout.phase in {Phase.LIVE, Phase.SETTLED} and expected_version(evidence) == rollout.version:
        return replicas.sentence
    label = f"version {rollout.version}" if rollout.version else f"the artifact of run {rollout.run_id}"
    return f"{replicas.sentence} The newest, {label}, is {rollout.phase.value}: {rollout.reason}"
