"""Puts together what a ledger is filled with. Reads only; deterministic, its clock apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumers import models
from consumers.models import Place
from roost.adapters.in_memory.clock import ManualClock
from roost.contracts.cloudevents import Event
from roost.contracts.errors import InvalidEvent
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.policy import Policy
from roost.contracts.rollout import Rollout, Transition
from roost.contracts.rollout_events import transition_event
from roost.ports.clock import Clock
from roost.ports.event_bus import TopicReader
from roost.ports.ledger import CommandRow, OnboardingStage
from roost.ports.object_store import ObjectStore
from roost.ports.rebuilding import Contents, RebuiltRollout
from roost.rebuild import customers, log, objects, people, rollouts
from roost.rebuild.agreement import SOURCE, agreed
from roost.rebuild.log import Heard, Progress
from roost.rebuild.objects import World
from roost.rebuild.rollouts import ACTOR, REBUILT_FROM, Sources

_LEFT: Final = frozenset({OnboardingStage.LEAVING, OnboardingStage.GONE})
_WHAT: Final = "ledger.rebuilt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be written, and what a person should know of it."""

    contents: Contents
    #: What log and objects did not agree on, or do not reach back to: one sentence each.
    findings: Sequence[str]
    #: Commands whose outcome is unknown: they are closed, and somebody may have to ask again.
    unanswered: Sequence[CommandRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What outlives a ledger."""

    store: ObjectStore
    reader: TopicReader
    policy: Policy
    place: Place
    #: The pool that serves nobody.
    canary_pool: str
    clock: Clock


def planned(remains: Remains, progress: Progress) -> Plan:
    """Read everything and work it out.

    Raises:
        StorageUnavailable, BrokerUnavailable: nothing is known then.
        Permanent: a desired state cannot be read.
    """
    world = objects.read(remains.store, progress)
    told = log.read(remains.reader, progress)
    sources = Sources(
        log=told,
        manifests=lambda customer, model, version: objects.manifest(remains.store, customer, model, version),
        uri=remains.store.uri,
        policy=remains.policy,
        now=remains.clock.now(),
        ready=rollouts.announcements(told),
    )
    left = {row.customer for row in customers.replayed(told.customers) if row.stage in _LEFT}
    untold: list[Event] = []
    received = list(_received(sources, world, remains, left, untold))
    known = [rollouts.from_events(sources, lines) for lines in told.rollouts.values()]
    agreement = agreed(sources, world, remains.canary_pool, [*known, *received])
    rows = [one.rollout for one in agreement.rollouts]
    people_say = people.standing(told)
    served = world.served(remains.canary_pool)
    contents = Contents(
        inbox=(*customers.inbox("customers", told.customers), *customers.inbox("models.ready", told.ready)),
        onboardings=tuple(customers.customers(told, rows, served, sources.now)),
        rollouts=tuple(agreement.rollouts),
        answering=tuple(agreement.answering),
        last_versions=_last_versions(world, agreement.rollouts),
        quarantines=tuple(people_say.quarantines.values()),
        released=frozenset(people_say.released),
        freezes=tuple(people_say.freezes.values()),
        thawed=frozenset(people_say.thawed),
        commands=tuple(people_say.commands),
        told=tuple(heard.event for heard in told.deploy),
        untold=(*untold, *agreement.events),
        generations={pool: state.generation for pool, state in world.pools.items()},
    )
    return Plan(contents=contents, findings=agreement.findings, unanswered=people_say.unanswered)


def reported(plan: Plan, clock: Clock) -> Plan:
    """The plan with the one event that tells of it."""
    contents, now = plan.contents, clock.now()
    counts = {"customers": len(contents.onboardings), "rollouts": len(contents.rollouts)}
    payload = OperationReported(
        what=_WHAT,
        actor=ACTOR,
        reason=f"The ledger was made again: {counts['customers']} customers, {counts['rollouts']} rollouts.",
        facts={**counts, "generations": dict(contents.generations), "findings": len(plan.findings)},
    )
    event = Event(
        id=f"{_WHAT} {now.isoformat()}", type=OPERATION_REPORTED, source=SOURCE, subject="fleet", time=now, data=payload
    )
    return replace(plan, contents=replace(contents, untold=(*contents.untold, event)))


def _received(
    sources: Sources, world: World, remains: Remains, left: set[str], untold: list[Event]
) -> list[RebuiltRollout]:
    """Announced, and never told of: the consumer had not come to it, or its event was lost with the outbox."""
    serving = {
        version.rollout_id for state in world.pools.values() for model in state.models for version in model.versions
    }
    found = []
    for identifier, heard in sources.ready.items():
        ready = sources.announced(identifier)
        if ready is None or identifier in sources.log.rollouts or identifier in serving or ready.customer in left:
            continue
        try:
            row = models.received(ready, remains.place, ManualClock(heard.at))
        except InvalidEvent:
            continue
        made = _marked(row.model_copy(update={"traceparent": heard.event.traceparent}), heard)
        untold.append(transition_event(made.rollout, made.history[0], source=SOURCE))
        found.append(made)
    return found


def _marked(row: Rollout, heard: Heard) -> RebuiltRollout:
    """The row with its first line, both saying where they come from."""
    row = row.model_copy(update={"facts": {**row.facts, REBUILT_FROM: heard.place}})
    first = Transition.first(row).model_copy(update={"facts": {REBUILT_FROM: heard.place}})
    return RebuiltRollout(rollout=row, history=(first,))


def _last_versions(world: World, made: Sequence[RebuiltRollout]) -> Mapping[tuple[str, str], int]:
    """The highest version of each name that was ever given out, as far as anything knows of it."""
    highest = {name: max(versions) for name, versions in world.stored.items() if versions}
    for one in made:
        name = (one.rollout.customer, one.rollout.model)
        highest[name] = max(highest.get(name, 0), one.rollout.version)
    return {name: number for name, number in highest.items() if number > 0}
