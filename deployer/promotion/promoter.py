"""The promoter of a serving pool: a group commit with a barrier.

Each step looks at the ledger, the desired state and the nodes, and does what follows: transitions first, then one
generation for all changes at once, then it waits for the nodes. Nothing but measurements is remembered in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from deployer.domain import barrier
from deployer.domain.barrier import Done, Fails, Judgement, NodeView, PoolView, Wants
from deployer.domain.planner import Change, Load, Remove, Settle
from deployer.domain.transitions import Step
from deployer.promotion.desired_store import DesiredStore
from deployer.promotion.ends import Ends
from deployer.promotion.leftovers import NOTHING, Leftovers, Tidying
from deployer.promotion.nodes import PoolNodes, Seen
from deployer.promotion.pace import AT_ONCE, UNTIL_WOKEN, Pace
from deployer.promotion.trace import Traces
from deployer.promotion.work import Work, gather
from deployer.rollout.parts import Parts
from deployer.rollout.retirement import Retirement
from roost.contracts.desired import DesiredState, DesiredVersion
from roost.contracts.errors import Conflict
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import RolloutQuery

#: A wait for nodes is cut into slices, so that what comes meanwhile, such as a rollback, need not wait longer.
_SLICE: Final = 0.5
#: A look at the nodes is good for so long; a wait that ended sooner than that told nothing new.
_FRESH: Final = 1.0
_TOLD_NOTHING: Final = 0.02
_PAUSE: Final = 0.1
#: The reason of a generation names so many of the served names that it changes.
_NAMED: Final = 3


@dataclass(slots=True)
class _Tally:
    """Judgements of one pass, by what they ask for."""

    changes: list[tuple[Rollout, Change]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    waiting: bool = False
    tidying: Tidying = NOTHING
    #: A rollout ends by the word of the desired state alone, which may have been read long ago.
    doubtful: bool = False


class Promoter:
    """Steps of one serving pool. One thread at a time."""

    def __init__(self, parts: Parts, desired: DesiredStore, nodes: PoolNodes) -> None:
        self._parts = parts
        self._desired = desired
        self._nodes = nodes
        self._traces = Traces(parts.clock)
        self._ends = Ends(parts, self._traces)
        self._retirement = Retirement(parts)
        self._leftovers = Leftovers(parts)
        self._seen: Seen | None = None
        self._seen_at = 0.0

    def take_over(self) -> None:
        """The pool is this process's from now on: what it remembers of the pool may be of a time long ago.

        The object store may have been away from the process before, which is no wait for nodes; that a rollout has
        stood still so long is no reason to take it back at the first look.
        """
        self._desired.forget()
        self._seen = None
        self._traces.begin()

    def step(self) -> Pace:
        """Do what can be done now.

        Raises:
            Retryable: a dependency does not answer.
            Conflict: somebody else wrote first; the next step looks anew.
        """
        work = gather(self._parts.ledger, self._desired.pool, self._parts.clock.now())
        self._traces.keep_only(work.ids)
        tidying = self._leftovers.look(self._desired.current().models, work.held)
        if work.empty and not tidying.changes:
            return self._until(work.next_bake, tidying.next_at)
        retiring = self._retirement.steps(work.leaving)
        if retiring:
            self._write(retiring)
            return AT_ONCE
        view = self._view(self._desired.current())
        tally = self._judge(work, view)
        tally.tidying = tidying
        return self._act(tally, work, view)

    def _act(self, tally: _Tally, work: Work, view: PoolView) -> Pace:
        if tally.doubtful and not self._desired.confirmed():
            return AT_ONCE
        if tally.steps:
            self._write(tally.steps)
            return AT_ONCE
        leaving = [Remove(name=name) for name in view.entries if name.partition(".")[0] in work.leaving]
        if tally.changes or leaving or tally.tidying.changes:
            return self._commit(tally.changes, [*leaving, *tally.tidying.changes])
        retired = self._retire(work, view)
        return (
            self._wait(view.generation)
            if tally.waiting or not retired
            else self._until(work.next_bake, tally.tidying.next_at)
        )

    def _judge(self, work: Work, view: PoolView) -> _Tally:
        tally = _Tally(steps=[self._ends.outdone(row, why) for row, why in work.outdone])
        for rollout, judgement, reason in self._judgements(work, view):
            tally.doubtful |= rollout.phase is Phase.LIVE and isinstance(judgement, Fails | Done)
            match judgement:
                case Wants(change=change):
                    tally.changes.append((rollout, change))
                case Fails(reason=why):
                    tally.steps.append(self._ends.failed(rollout, why))
                case Done(facts=facts):
                    tally.steps.append(self._ends.done(rollout, reason, facts))
                case _:
                    tally.waiting = True
                    late = self._ends.late(rollout, judgement.reason, counted=len(view.nodes))
                    tally.steps += [] if late is None else [late]
        return tally

    def _judgements(self, work: Work, view: PoolView) -> Iterator[tuple[Rollout, Judgement, str]]:
        """Each rollout with what it wants, and the sentence that stands once it is done."""
        count = f"{len(view.nodes)} node{'s' if len(view.nodes) != 1 else ''}"
        absent = f"; absent: {', '.join(view.absent)}" if view.absent else ""
        for row in work.promoting:
            share = self._parts.rules(row).previous_percent
            yield row, barrier.promotion(row, view, share), f"Proved as stable on {count}{absent}."
        for row in work.rolling_back:
            yield row, self._back(row, view, work), f"{row.reason.rstrip('.')}. Taken back on {count}{absent}."
        for row in work.baked:
            yield row, barrier.bake(row, view), "The bake is over without a regression."

    def _back(self, rollout: Rollout, view: PoolView, work: Work) -> Judgement:
        if rollout.previous_version is None or rollout.customer in work.leaving:
            return barrier.rolling_back(rollout, view, None)
        target = self._target(rollout, rollout.previous_version, view)
        if target is None:
            return Fails(reason=f"Version {rollout.previous_version}, to return to, is not known any more.")
        return barrier.rolling_back(rollout, view, target)

    def _target(self, rollout: Rollout, version: int, view: PoolView) -> DesiredVersion | None:
        entry = view.entries.get(rollout.name)
        listed = next((one for one in entry.versions if one.version == version), None) if entry else None
        if listed is not None:
            return listed
        query = RolloutQuery(customer=rollout.customer, model=rollout.model, limit=10_000)
        for row in self._parts.ledger.rollouts(query):
            if row.version == version:
                return DesiredVersion(version=version, digest=row.digest, rollout_id=row.id)
        return None

    def _commit(self, changes: Sequence[tuple[Rollout, Change]], others: Sequence[Change]) -> Pace:
        """One generation for all of them. `others` alone leave room for a write that is urgent."""
        pause = self._desired.wait_seconds(spare=not changes)
        if pause > 0:
            # What becomes ready meanwhile goes into the same generation.
            return Pace(wait_seconds=pause)
        # A promotion needs the room of what an earlier one left loaded.
        room = [Settle(name=change.name) for _, change in changes if isinstance(change, Load)]
        every: list[Change] = [*room, *(change for _, change in changes), *others]
        state = self._desired.commit(every, _reason(every[len(room) :]), [rollout for rollout, _ in changes])
        for rollout, change in changes:
            self._traces.note(rollout, change, state.generation)
        self._look(self._nodes.nudge_and_wait(state.generation, _SLICE))
        return AT_ONCE

    def _wait(self, generation: int) -> Pace:
        started = self._parts.clock.monotonic()
        behind = any(state.generation < generation for state in (self._seen.states if self._seen else ()))
        # A generation whose write was only found to have happened, or a node that was away, had no nudge.
        wait = self._nodes.nudge_and_wait if behind else self._nodes.wait
        self._look(wait(generation, _SLICE))
        told_nothing = self._parts.clock.monotonic() - started < _TOLD_NOTHING
        return Pace(wait_seconds=_PAUSE) if told_nothing else AT_ONCE

    def _retire(self, work: Work, view: PoolView) -> bool:
        behind = [one.node for one in view.nodes if not (one.settled and one.generation >= view.generation)]
        return self._retirement.finish(work.leaving, generation=view.generation, behind=behind)

    def _write(self, steps: Sequence[Step]) -> None:
        """All at once; where one row changed meanwhile, each by itself, and that one is looked at anew."""
        try:
            self._parts.write(steps)
        except Conflict:
            for step in steps:
                try:
                    self._parts.write([step])
                except Conflict:
                    continue

    def _view(self, state: DesiredState) -> PoolView:
        if self._seen is None or self._parts.clock.monotonic() - self._seen_at > _FRESH:
            self._look(self._nodes.look())
        seen = self._seen or Seen(counted=(), absent=())
        return PoolView(
            generation=state.generation,
            entries={model.name: model for model in state.models},
            nodes=tuple(NodeView.of(one) for one in seen.states),
            absent=seen.absent,
            loading=self._parts.policy.loading(self._desired.pool),
        )

    def _look(self, seen: Seen) -> None:
        self._seen, self._seen_at = seen, self._parts.clock.monotonic()

    def _until(self, *instants: datetime | None) -> Pace:
        """Until the first of these; until woken where there is none."""
        first = min((one for one in instants if one is not None), default=None)
        if first is None:
            return UNTIL_WOKEN
        return Pace(wait_seconds=max(0.0, (first - self._parts.clock.now()).total_seconds()))


def _reason(changes: Sequence[Change]) -> str:
    kinds: dict[str, list[str]] = {}
    for change in changes:
        kinds.setdefault(type(change).__name__.lower(), []).append(change.name)
    parts = []
    for kind, names in kinds.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(f"{kind} {', '.join(names[:_NAMED])}{more}")
    return "; ".join(parts)
