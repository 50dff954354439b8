"""Log and desired state, brought to agree.

What serves is never wrong about itself: where the log says otherwise, its end was lost with the outbox, and the
rollout gets a line that says what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from roost.contracts.cloudevents import Event
from roost.contracts.desired import PREVIOUS, DesiredModel, DesiredVersion
from roost.contracts.ids import rollout_id, split_served_name
from roost.contracts.rollout import EXCLUSIVE, PREVIOUS_UNKNOWN, Phase, Rollout
from roost.contracts.rollout_events import transition_event
from roost.ports.rebuilding import RebuiltRollout
from roost.rebuild import rollouts
from roost.rebuild.objects import StoredManifest, World
from roost.rebuild.previous import with_previous
from roost.rebuild.rollouts import Sources

SOURCE: Final = "roost/rebuild"
_ANSWERS: Final = frozenset({Phase.LIVE, Phase.SETTLED, Phase.PROMOTING, Phase.ROLLING_BACK, Phase.HALTED})
_NEVER_ANSWERED: Final = frozenset({Phase.RECEIVED, Phase.STORED, Phase.VETTED, Phase.CANARY, Phase.AWAITING_APPROVAL})


@dataclass(slots=True, kw_only=True)
class Agreement:
    """Rollouts as they shall stand, what was found out on the way, and the events that tell it."""

    rollouts: list[RebuiltRollout]
    answering: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def agreed(sources: Sources, world: World, canary: str, found: Iterable[RebuiltRollout]) -> Agreement:
    """Every rollout that the log knows, and every one that serves. `canary` is the pool that serves nobody."""
    known = {one.rollout.id: one for one in found}
    served = world.served(canary)
    result = Agreement(rollouts=[])
    for name, (pool, entry) in served.items():
        for version in entry.versions:
            if version.rollout_id not in known:
                made = _by_object(sources, pool, entry, version)
                known[version.rollout_id] = made
                result.findings.append(f"{name} version {version.version}: {made.rollout.reason}")
    by_name: dict[str, list[RebuiltRollout]] = {}
    for one in known.values():
        by_name.setdefault(one.rollout.name, []).append(one)
    for name in sorted(by_name):
        lists = served[name][1] if name in served else None
        own = with_previous(sources, by_name[name], lists, world.stored.get(split_served_name(name), ()))
        own += _to_return_to(sources, world, own)
        result.rollouts += _settled(result, sources, [_moved_on(result, sources, one, lists) for one in own], lists)
    result.rollouts.sort(key=lambda one: (one.rollout.entered_at, one.rollout.id))
    result.answering = [_stable(entry).rollout_id for _, entry in served.values() if entry.stable is not None]
    return result


def _to_return_to(sources: Sources, world: World, own: Sequence[RebuiltRollout]) -> list[RebuiltRollout]:
    """Versions that a rollback returns to, and of which the log knows nothing: as they are stored."""
    found = []
    known = {one.rollout.version for one in own}
    for row in (one.rollout for one in own):
        version = row.previous_version
        if version is None or version in known or (row.customer, row.model, version) not in world.whole:
            continue
        manifest = sources.manifests(row.customer, row.model, version)
        if manifest is not None:
            known.add(version)
            stored = _stored(row, version, manifest)
            reason = f"Rebuilt: version {row.version} came after it, and the log does not reach back to it."
            found.append(rollouts.from_manifest(sources, stored, manifest.content, reason))
    return found


def _stored(after: Rollout, version: int, manifest: StoredManifest) -> Rollout:
    return Rollout(
        id=rollout_id(after.customer, after.model, manifest.digest),
        customer=after.customer,
        model=after.model,
        pool=after.pool,
        phase=Phase.SETTLED,
        run_id=manifest.content.run.run_id,
        digest=manifest.digest,
        artifact_uri="",
        trained_at=manifest.content.run.trained_at,
        received_at=manifest.content.run.trained_at,
        entered_at=manifest.content.run.trained_at,
        version=version,
    )


def _by_object(sources: Sources, pool: str, entry: DesiredModel, listed: DesiredVersion) -> RebuiltRollout:
    customer, model = split_served_name(entry.name)
    phase, reason = _role(pool, entry, listed.version)
    row = Rollout(
        id=listed.rollout_id,
        customer=customer,
        model=model,
        pool=pool,
        phase=phase,
        run_id="unknown",
        digest=listed.digest,
        artifact_uri="",
        trained_at=sources.now,
        received_at=sources.now,
        entered_at=sources.now,
        deadline=rollouts.due(sources, phase, customer, sources.now),
        version=listed.version,
    )
    manifest = sources.manifests(customer, model, listed.version)
    if manifest is not None:
        # It was received after its training; no better date is left.
        row = row.model_copy(update={"received_at": manifest.content.run.trained_at})
    return rollouts.from_manifest(sources, row, manifest.content if manifest else None, reason)


def _role(pool: str, entry: DesiredModel, version: int) -> tuple[Phase, str]:
    if entry.stable == version:
        phase = Phase.LIVE if PREVIOUS in entry.labels else Phase.SETTLED
        return phase, f"Rebuilt: pool {pool} answers with it, and the log does not reach back to it."
    if entry.stable is not None and version < entry.stable:
        return Phase.SETTLED, f"Rebuilt: pool {pool} keeps it loaded beside what answers."
    return Phase.HALTED, f"Rebuilt: pool {pool} lists it, and nobody knows whether it passed its canary."


def _stable(entry: DesiredModel) -> DesiredVersion:
    return next(one for one in entry.versions if one.version == entry.stable)


def _moved_on(result: Agreement, sources: Sources, one: RebuiltRollout, entry: DesiredModel | None) -> RebuiltRollout:
    row = one.rollout
    answers = entry is not None and entry.stable is not None and _stable(entry).rollout_id == row.id
    after = _if_it_answers(row, entry) if answers else _if_it_does_not(row, entry)
    return one if after is None else _corrected(result, sources, one, *after)


def _if_it_answers(row: Rollout, entry: DesiredModel | None) -> tuple[Phase, str] | None:
    if row.phase in _NEVER_ANSWERED:
        baking = entry is not None and PREVIOUS in entry.labels
        return Phase.LIVE if baking else Phase.SETTLED, "Rebuilt: the pool answers with it; the log ends before that."
    if row.phase not in _ANSWERS:
        return Phase.HALTED, f"Rebuilt: the log says {row.phase}, and the pool answers with it: retry or roll back."
    return _blind(row)


def _if_it_does_not(row: Rollout, entry: DesiredModel | None) -> tuple[Phase, str] | None:
    stable = entry.stable if entry else None
    if row.phase is Phase.LIVE and stable is not None and stable > row.version:
        return Phase.SETTLED, f"Rebuilt: version {stable} answers; the log ends before that."
    if row.phase is Phase.LIVE:
        what = f"version {stable} answers" if stable else "nothing of that name is served"
        return Phase.ROLLED_BACK, f"Rebuilt: {what}; the log ends before that."
    if row.phase is Phase.PROMOTING and (entry is None or not entry.has(row.version)):
        return Phase.HALTED, "Rebuilt: it was being promoted, and the pool does not list it: retry or cancel it."
    return _blind(row)


def _blind(row: Rollout) -> tuple[Phase, str] | None:
    """One that is taken back must know to what."""
    if row.phase is Phase.ROLLING_BACK and row.facts.get(PREVIOUS_UNKNOWN):
        return Phase.HALTED, "Rebuilt: it was being taken back, and nobody knows to which version."
    return None


def _settled(
    result: Agreement, sources: Sources, own: Sequence[RebuiltRollout], entry: DesiredModel | None
) -> list[RebuiltRollout]:
    """One rollout per name between CANARY and LIVE: what answers keeps the place, then who entered its phase last."""
    stable = _stable(entry).rollout_id if entry is not None and entry.stable is not None else None
    held = [one for one in own if one.rollout.phase in EXCLUSIVE]
    if len(held) < 2:
        return list(own)
    keeps = max(held, key=lambda one: (one.rollout.id == stable, one.rollout.entered_at))
    reason = f"Rebuilt: rollout {keeps.rollout.id} of the same name holds the one place between CANARY and LIVE."
    return [
        one if one is keeps or one not in held else _corrected(result, sources, one, Phase.CANCELLED, reason)
        for one in own
    ]


def _corrected(result: Agreement, sources: Sources, one: RebuiltRollout, phase: Phase, reason: str) -> RebuiltRollout:
    before = one.rollout
    row = before.model_copy(
        update={
            "phase": phase,
            "reason": reason,
            "entered_at": sources.now,
            "deadline": rollouts.due(sources, phase, before.customer, sources.now),
            "revision": before.revision + 1,
        }
    )
    line = rollouts.added(row, before.phase, one.history[-1].sequence + 1, reason, sources.now)
    result.findings.append(f"{row.name} version {row.version} ({before.phase} to {phase}): {reason}")
    result.events.append(transition_event(row, line, source=SOURCE))
    return replace(one, rollout=row, history=(*one.history, line))
