"""The last step of `why`: what each replica answers with. Pure."""

from __future__ import annotations

from deployer.console.fleet import NodeReport
from deployer.console.plain_words import seconds_text
from deployer.console.why.answer import StepState, WhyStep
from deployer.console.why.evidence import Evidence
from roost.contracts.acks import VersionState


def expected_version(evidence: Evidence) -> int | None:
    """The version that `stable` should name: the desired state's, or the ledger's where that cannot be read."""
    desired = evidence.pool.desired
    if desired is None:
        return evidence.live.version if evidence.live else None
    model = desired.model(evidence.name)
    return model.stable if model else None


def replica_steps(evidence: Evidence) -> tuple[WhyStep, ...]:
    """One step for all replicas together, then one for each."""
    version = expected_version(evidence)
    each = tuple(_replica(evidence.name, version, node) for node in evidence.pool.nodes)
    return (_together(evidence, version, each), *each)


def _together(evidence: Evidence, version: int | None, each: tuple[WhyStep, ...]) -> WhyStep:
    pool = evidence.pool
    facts: dict[str, object] = {"pool": pool.pool, "generation": pool.desired.generation if pool.desired else None}
    if version is None:
        state = StepState.WAITING if pool.desired_error is None else StepState.UNKNOWN
        said = f"No version of {evidence.name} is served yet."
        if pool.desired_error:
            said = f"The desired state of pool {pool.pool} cannot be read: {pool.desired_error}"
        return WhyStep(key="replicas", title="Replicas", state=state, sentence=said, facts=facts)
    if pool.nodes_error or not each:
        said = pool.nodes_error or f"Pool {pool.pool} has no nodes."
        state = StepState.UNKNOWN if pool.nodes_error else StepState.FAILED
        said = f"Version {version} of {evidence.name} should answer, but: {said}"
        return WhyStep(key="replicas", title="Replicas", state=state, sentence=said, facts=facts)
    good = sum(step.state is StepState.DONE for step in each)
    said = f"Version {version} of {evidence.name} answers on {good} of {len(each)} replicas."
    state = StepState.DONE if good == len(each) else StepState.RUNNING
    if any(step.state is StepState.FAILED for step in each):
        state = StepState.FAILED
    times = [step.at for step in each if step.at is not None]
    at = max(times) if times else None
    return WhyStep(key="replicas", title="Replicas", state=state, sentence=said, at=at, facts=facts)


def _replica(name: str, version: int | None, report: NodeReport) -> WhyStep:
    node = report.address.node
    facts: dict[str, object] = {"rest": report.address.rest, "grpc": report.address.grpc}
    key, title = f"replica:{node}", node
    if report.state is None:
        said = f"{node} does not answer: {report.error}"
        # A dead node matters to this customer only where something of theirs should be on it.
        dead = StepState.UNKNOWN if version is None else StepState.FAILED
        return WhyStep(key=key, title=title, state=dead, sentence=said, facts=facts)
    state = report.state
    model = state.model(name)
    facts |= {"generation": state.generation, "ready": state.ready}
    if version is None:
        return WhyStep(
            key=key, title=title, state=StepState.WAITING, sentence=f"{node} has nothing of it to serve.", facts=facts
        )
    if model is not None and state.serves(name, version):
        entry = model.state_of(version)
        took = f", loaded in {seconds_text(entry.seconds)}" if entry and entry.seconds is not None else ""
        said = f"{node} answers with version {version}, proved by a prediction{took}."
        return WhyStep(key=key, title=title, state=StepState.DONE, sentence=said, at=model.flipped_at, facts=facts)
    entry = model.state_of(version) if model else None
    stable = model.labels.get("stable") if model else None
    now = f"still answers with version {stable}" if stable else "answers with none yet"
    if entry is not None and entry.state is VersionState.FAILED:
        said = f"{node} could not load version {version} and {now}: {entry.error or 'no reason given'}"
        return WhyStep(key=key, title=title, state=StepState.FAILED, sentence=said, facts=facts)
    doing = entry.state.value if entry else "not known to it"
    said = f"{node} {now}; version {version} is {doing} there (generation {state.generation})."
    return WhyStep(key=key, title=title, state=StepState.RUNNING, sentence=said, facts=facts)
