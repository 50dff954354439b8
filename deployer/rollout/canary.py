"""VETTED to CANARY, and from there to what the verdict says.

The canary pool's desired state is written by `deployer.promotion.canary_pool`, many candidates at a time; here one
candidate that has loaded, or has failed to, is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from deployer.checks import registry
from deployer.checks.subject import Ask, CanarySubject, Copy
from deployer.domain import approval, scopes, supersede
from deployer.domain.transitions import Step
from deployer.rollout.copying import Copier
from deployer.rollout.outcome import Later, Moved, Outcome
from deployer.rollout.parts import Parts
from deployer.rollout.store import read_manifest
from deployer.rollout.vet import live_manifest
from roost.adapters.recordings import StoredRecordings
from roost.contracts.acks import NodeVersion
from roost.contracts.errors import ArtifactInvalid, ModelServerUnavailable, NotFound
from roost.contracts.ids import version_prefix
from roost.contracts.manifest import GOLDEN_NAME, HOLDOUT_NAME, GoldenCase, HoldoutRow
from roost.contracts.rollout import EXCLUSIVE, Phase, Rollout
from roost.contracts.verdict import Verdict
from roost.ports.ledger import RolloutQuery
from roost.ports.serving import NodeAddress, Predictor, Tensors
from roost.telemetry import metrics

#: One prediction of a check may take so many seconds.
_PREDICT_SECONDS = 10.0
#: Recorded requests that a canary is asked at most.
_RECORDED = 32
#: A candidate whose place is taken looks again so often, unless it is woken.
_RETRY_SECONDS = 2.0

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the canary pool says of one rollout: where it is loaded, or None where no node could tell."""

    address: NodeAddress | None
    loaded: NodeVersion | None
    #: That node's count of restarts then: one whose model server was replaced since says nothing of the candidate.
    restarts: int = 0


class CanaryGate:
    """The handler of VETTED: one rollout per name at a time goes on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def advance(self, rollout: Rollout) -> Outcome:
        """CANARY when the name's place is free; SUPERSEDED where a newer one is live or waits too."""
        parts = self._parts
        older = supersede.by_live(rollout, parts.ledger.live(rollout.customer, rollout.model))
        others = self._others(rollout)
        pointless = older or supersede.by_waiting(rollout, others)
        if pointless is not None:
            return Moved.one(parts.move(rollout, Phase.SUPERSEDED, parts.cause(rollout, pointless)))
        cause = parts.cause(rollout, "Goes to the canary pool.")
        step = parts.move(rollout, Phase.CANARY, cause)
        holder = supersede.holder(rollout, others)
        if holder is None:
            return Moved.one(step)
        outdone = supersede.by_waiting(holder, [rollout])
        if outdone is not None:
            ends = parts.move(holder, Phase.SUPERSEDED, parts.cause(holder, outdone))
            return Moved(steps=(ends, step))
        return Later(seconds=_RETRY_SECONDS, reason=f"Rollout {holder.id} is {holder.phase}; one at a time.")

    def _others(self, rollout: Rollout) -> list[Rollout]:
        phases = EXCLUSIVE | {Phase.VETTED}
        query = RolloutQuery(customer=rollout.customer, model=rollout.model, phases=phases, limit=1000)
        return [one for one in self._parts.ledger.rollouts(query) if one.id != rollout.id]


class CanaryJudge:
    """Measures one loaded candidate and writes what follows."""

    def __init__(self, parts: Parts, predictor: Predictor, readers: Executor, copier: Copier) -> None:
        """`readers` read one candidate's objects side by side: one after the other would cost a round trip each."""
        self._parts = parts
        self._copier = copier
        self._predictor = predictor
        self._readers = readers

    def judge(self, rollout: Rollout, candidate: Candidate) -> Step:
        """The step that the verdict leads to. Raises what the object store raises."""
        parts = self._parts
        started = parts.clock.monotonic()
        try:
            subject = self._subject(rollout, candidate)
        except ArtifactInvalid as error:
            return parts.move(rollout, Phase.REJECTED, parts.cause(rollout, str(error)))
        verdict = registry.run(subject, monotonic=parts.clock.monotonic)
        for result in verdict.checks:
            metrics.CHECKS.labels(check=result.check, outcome=result.outcome).inc()
        return self._follows(rollout, verdict, round(parts.clock.monotonic() - started, 4))

    def _follows(self, rollout: Rollout, verdict: Verdict, seconds: float) -> Step:
        parts = self._parts
        live = parts.ledger.live(rollout.customer, rollout.model)
        older = supersede.by_live(rollout, live)
        if older is not None:
            return parts.move(rollout, Phase.SUPERSEDED, parts.cause(rollout, older), verdict=verdict)
        decision = approval.after_canary(
            verdict,
            approval=parts.rules(rollout).approval,
            first_model=live is None,
            frozen=parts.held(scopes.freezing(rollout.customer)),
        )
        facts: dict[str, object] = {"check_seconds": seconds, "verdict": verdict.outcome.value}
        cause = parts.cause(rollout, decision.reason, facts=facts)
        return parts.move(
            rollout,
            decision.phase,
            cause,
            verdict=verdict,
            approved_by=decision.approved_by,
            previous_version=live.version if live else None,
        )

    def _subject(self, rollout: Rollout, candidate: Candidate) -> CanarySubject:
        prefix, read = version_prefix(rollout.customer, rollout.model, rollout.version), self._readers.submit
        manifest = read(read_manifest, self._parts.store, prefix)
        golden = read(self._rows, prefix + GOLDEN_NAME, GoldenCase)
        holdout = read(self._rows, prefix + HOLDOUT_NAME, HoldoutRow)
        live = read(live_manifest, self._parts, rollout)
        recorded = read(self._recorded, rollout)
        return CanarySubject(
            manifest=manifest.result()[1],
            version=rollout.version,
            loaded=candidate.loaded,
            golden=golden.result(),
            holdout=holdout.result(),
            ask=self._ask(rollout, candidate.address),
            bounds=self._parts.rules(rollout).checks,
            live=live.result(),
            recorded=recorded.result(),
            copies=self._copies(rollout, candidate.address) if live.result() is not None else None,
        )

    def _ask(self, rollout: Rollout, address: NodeAddress | None) -> Ask:
        def ask(inputs: Tensors, signature: str) -> Tensors:
            if address is None:
                raise ModelServerUnavailable("no canary node is ready")
            return self._predictor.predict(
                address.grpc,
                rollout.name,
                inputs,
                version=rollout.version,
                signature=signature,
                deadline=_PREDICT_SECONDS,
            )

        return ask

    def _copies(self, rollout: Rollout, address: NodeAddress | None) -> Copy | None:
        return None if address is None else partial(self._copier.copy, rollout.name, rollout.pool, address)

    def _recorded(self, rollout: Rollout) -> tuple[Tensors, ...]:
        """The customer's newest recorded requests; none, and no look at the store, where nothing is recorded."""
        if self._parts.rules(rollout).taps.rate == 0:
            return ()
        recordings = StoredRecordings(self._parts.store, self._parts.clock)
        return tuple(request.inputs for request in recordings.newest(rollout.name, _RECORDED))

    def _rows(self, name: str, kind: type[Row]) -> tuple[Row, ...]:
        """Recorded lines; none where the artifact has no such file or it cannot be read: then nothing is measured."""
        try:
            content, _ = self._parts.store.read(name)
            return tuple(kind.model_validate_json(line) for line in content.splitlines() if line.strip())
        except (NotFound, ValidationError):
            return ()


Judge = Callable[[Rollout, Candidate], Step]
