"""Rollouts: from their deploy events; where the log does not reach back, from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from deployer.domain.transitions import deadline
from roost.contracts.events import ModelReady, RolloutChanged
from roost.contracts.ids import rollout_id, staging_prefix
from roost.contracts.manifest import ArtifactManifest
from roost.contracts.policy import Policy
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.ports.rebuilding import RebuiltRollout
from roost.rebuild.log import Heard, Log
from roost.rebuild.objects import StoredManifest

ACTOR: Final = "roost rebuild"
#: Key in a rollout's facts: what its record was made from. In a line's: where the event lies.
REBUILT_FROM: Final = "rebuilt_from"
_EVENT_FACTS: Final = ("metrics", "code_version", "data_window", "scope", "cohort")
#: From here on a rollout knows what answered before it.
_HAS_PREVIOUS: Final = frozenset(
    {Phase.PROMOTING, Phase.LIVE, Phase.SETTLED, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.HALTED}
)

#: Manifest of a stored version; None where there is none.
Manifests = Callable[[str, str, int], StoredManifest | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What rollouts are made from."""

    log: Log
    manifests: Manifests
    #: An object's name to its ``gs://`` address.
    uri: Callable[[str], str]
    policy: Policy
    now: datetime
    #: Rollout id to the event that announced it.
    ready: Mapping[str, Heard] = field(default_factory=dict)

    def announced(self, identifier: str) -> ModelReady | None:
        """What the event said of the run; None where the log does not reach back to it."""
        heard = self.ready.get(identifier)
        return heard.event.data if heard is not None and isinstance(heard.event.data, ModelReady) else None


def announcements(log: Log) -> dict[str, Heard]:
    """Rollout id to the first event that announced it."""
    found: dict[str, Heard] = {}
    for heard in log.ready:
        data = heard.event.data
        if isinstance(data, ModelReady):
            found.setdefault(rollout_id(data.customer, data.model, data.artifact_digest), heard)
    return found


def from_events(sources: Sources, lines: Sequence[Heard]) -> RebuiltRollout:
    """The rollout that these transitions, by sequence, leave behind."""
    told = [heard.event.data for heard in lines if isinstance(heard.event.data, RolloutChanged)]
    first, last = told[0], told[-1]
    live = next((one.facts for one in reversed(told) if one.after is Phase.LIVE), {})
    ready = sources.announced(last.rollout_id)
    made = None if ready or last.trained_at else _manifest(sources, last)
    received_at = lines[0].event.time
    row = Rollout(
        id=last.rollout_id,
        customer=last.customer,
        model=last.model,
        pool=last.pool,
        phase=last.after,
        run_id=last.run_id,
        digest=last.digest,
        artifact_uri=sources.uri(staging_prefix(last.customer, last.model, last.run_id)),
        trained_at=_trained_at(told, ready, made) or received_at,
        received_at=received_at if first.sequence == 1 or ready is None else sources.ready[last.rollout_id].at,
        entered_at=lines[-1].event.time,
        deadline=due(sources, last.after, last.customer, lines[-1].event.time),
        version=last.version,
        previous_version=next((one.previous_version for one in reversed(told) if one.previous_version), None),
        load_generation=_whole(live, "load_generation"),
        flip_generation=_whole(live, "flip_generation"),
        skew_ms=_number(live, "skew_ms"),
        approved_by=next((one.approved_by for one in reversed(told) if one.approved_by), None),
        reason=last.reason,
        wave_id=ready.wave_id if ready else None,
        facts=_facts(ready, made, "deploy events"),
        traceparent=lines[0].event.traceparent,
        revision=last.sequence - 1,
    )
    return RebuiltRollout(rollout=row, history=tuple(_line(heard) for heard in lines))


def from_manifest(sources: Sources, row: Rollout, manifest: ArtifactManifest | None, reason: str) -> RebuiltRollout:
    """A rollout of which the log knows nothing any more. `row` has what the desired state says of it."""
    run = manifest.run if manifest else None
    ready = sources.announced(row.id)
    made = row.model_copy(
        update={
            "run_id": run.run_id if run else row.run_id,
            "trained_at": run.trained_at if run else row.trained_at,
            "artifact_uri": sources.uri(staging_prefix(row.customer, row.model, run.run_id if run else row.run_id)),
            "facts": {**_facts(ready, manifest, "the desired state and the stored version"), **row.facts},
            "reason": reason,
        }
    )
    return RebuiltRollout(rollout=made, history=(added(made, None, 1, reason, sources.now),))


def added(row: Rollout, before: Phase | None, sequence: int, reason: str, now: datetime) -> Transition:
    """A line that no process wrote: what was found out while rebuilding."""
    return Transition(
        rollout_id=row.id,
        sequence=sequence,
        before=before,
        after=row.phase,
        at=now,
        actor=ACTOR,
        reason=reason,
        facts={REBUILT_FROM: "the desired state"},
    )


def due(sources: Sources, phase: Phase, customer: str, entered_at: datetime) -> datetime | None:
    """The phase's deadline. A bake ends when it would have; what is under way has its whole time again."""
    since = entered_at if phase is Phase.LIVE else sources.now
    return deadline(phase, since, sources.policy.rules_for(customer))


def knows_previous(lines: Sequence[Heard]) -> bool:
    """Whether the events say what answered before, even where that is nothing. Those of before do not."""
    return any("previous_version" in heard.event.data.model_fields_set for heard in lines if _moved(heard))


def _moved(heard: Heard) -> bool:
    data = heard.event.data
    return isinstance(data, RolloutChanged) and data.after in _HAS_PREVIOUS


def _line(heard: Heard) -> Transition:
    data = heard.event.data
    if not isinstance(data, RolloutChanged):
        raise TypeError(f"{heard.place} is no transition")
    return Transition(
        rollout_id=data.rollout_id,
        sequence=data.sequence,
        before=data.before,
        after=data.after,
        at=heard.event.time,
        actor=data.actor,
        reason=data.reason,
        facts={**data.facts, REBUILT_FROM: heard.place},
    )


def _manifest(sources: Sources, last: RolloutChanged) -> ArtifactManifest | None:
    found = sources.manifests(last.customer, last.model, last.version) if last.version else None
    return found.content if found else None


def _trained_at(
    told: Sequence[RolloutChanged], ready: ModelReady | None, made: ArtifactManifest | None
) -> datetime | None:
    said = next((one.trained_at for one in told if one.trained_at), None)
    return said or (ready.trained_at if ready else made.run.trained_at if made else None)


def _facts(ready: ModelReady | None, made: ArtifactManifest | None, source: str) -> dict[str, object]:
    if ready is not None:
        return {**ready.model_dump(mode="json", include=set(_EVENT_FACTS)), REBUILT_FROM: source}
    if made is not None:
        return {**made.run.model_dump(mode="json", include=set(_EVENT_FACTS)), REBUILT_FROM: source}
    return {REBUILT_FROM: source}


def _whole(facts: Mapping[str, object], name: str) -> int | None:
    found = facts.get(name)
    return found if isinstance(found, int) else None


def _number(facts: Mapping[str, object], name: str) -> float | None:
    found = facts.get(name)
    return float(found) if isinstance(found, int | float) else None
