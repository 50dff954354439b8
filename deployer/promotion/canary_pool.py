"""The canary pool: candidates are loaded many at a time, in isolation, and each is measured once it has loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from datetime import timedelta
from typing import Final

from deployer.domain.planner import Change, Isolate, Remove
from deployer.domain.transitions import Step
from deployer.promotion.desired_store import DesiredStore
from deployer.promotion.nodes import PoolNodes, Seen
from deployer.promotion.pace import AT_ONCE, UNTIL_WOKEN, Pace
from deployer.rollout.canary import Candidate, Judge
from deployer.rollout.parts import Parts
from roost.contracts.acks import VersionState
from roost.contracts.desired import DesiredState, DesiredVersion
from roost.contracts.errors import Conflict, Permanent, Retryable
from roost.contracts.rollout import Phase, Rollout
from roost.contracts.verdict import Outcome
from roost.ports.ledger import RolloutQuery
from roost.telemetry import rollout_spans, tracing

log = logging.getLogger(__name__)

_SLICE: Final = 0.5
_TOLD_NOTHING: Final = 0.02
_PAUSE: Final = 0.1
#: After a dependency failed in the middle of a measurement.
_RETRY: Final = 1.0
#: What passed stays at most so long.
_KEPT: Final = 60.0
#: A candidate that met a bug is measured again so seldom.
_REST: Final = 60.0
#: A measurement that its node did not outlive is made again so often. Then it may be the candidate that ends the node.
_AGAIN: Final = 2
_ENDED: Final = frozenset({VersionState.PROVEN, VersionState.FAILED})
_NOWHERE: Final = Candidate(address=None, loaded=None)


class CutShort(Retryable):
    """The node was replaced in the middle of a measurement, or just before it, which says nothing then."""


class CanaryPool:
    """Steps of the canary pool. One thread at a time; measurements run on `judges`."""

    def __init__(self, parts: Parts, desired: DesiredStore, nodes: PoolNodes, judge: Judge, judges: Executor) -> None:
        self._parts = parts
        self._desired = desired
        self._nodes = nodes
        self._judge = judge
        self._judges = judges
        self._running: dict[str, Future[None]] = {}
        self._resting: dict[str, float] = {}
        self._cut_short: dict[str, int] = {}
        self._seen = Seen(counted=(), absent=())
        #: Called from a judge's thread when a measurement ended, so that the loop looks again.
        self.on_judged: Callable[[], None] = lambda: None

    def step(self) -> Pace:
        """Load what came, let go of what was measured, measure what has loaded.

        Raises:
            Retryable: a dependency does not answer.
            Conflict: somebody else wrote the desired state first.
        """
        self._collect()
        query = RolloutQuery(phases=frozenset({Phase.CANARY, Phase.PROMOTING}), limit=10_000)
        here = self._parts.ledger.rollouts(query)
        rollouts = [row for row in here if row.phase is Phase.CANARY]
        state = self._desired.current()
        # What passed stays until it is live: its unloading would compete with the loads and the flip that it waits for.
        changes = _changes(state, rollouts, passed=self._passed(here))
        pause = self._desired.wait_seconds(spare=not any(isinstance(one, Isolate) for one in changes))
        if changes and pause == 0:
            names = ", ".join(sorted({one.name for one in changes})[:3])
            state = self._desired.commit(changes, f"candidates come or go: {names}", rollouts)
            self._seen = self._nodes.nudge_and_wait(state.generation, _SLICE if rollouts else 0.0)
        waiting = self._measure(rollouts)
        if waiting and not changes:
            return self._wait(state)
        if changes and pause > 0:
            return Pace(wait_seconds=pause)
        return AT_ONCE if waiting else UNTIL_WOKEN

    def _passed(self, here: Sequence[Rollout]) -> frozenset[str]:
        """Those on their way to being live. A pool without nodes may keep them waiting for days: memory has an end."""
        since = self._parts.clock.now() - timedelta(seconds=_KEPT)
        return frozenset(row.id for row in here if row.phase is Phase.PROMOTING and row.entered_at > since)

    def _measure(self, rollouts: Sequence[Rollout]) -> bool:
        """Start what can be measured. Returns whether anything still waits for the nodes."""
        waiting, now = False, self._parts.clock.monotonic()
        for rollout in rollouts:
            if rollout.id in self._running:
                continue
            candidate = self._find(rollout)
            late = rollout.deadline is not None and self._parts.clock.now() >= rollout.deadline
            if (candidate.loaded is None and not late) or self._resting.get(rollout.id, now) > now:
                waiting = True
                continue
            self._running[rollout.id] = self._judges.submit(self._judged, rollout, candidate)
        return waiting

    def _judged(self, rollout: Rollout, candidate: Candidate) -> None:
        try:
            with tracing.span("canary checks", rollout.place, rollout_spans.facts(rollout)):
                step = self._measured(rollout, candidate)
            self._parts.write([step])
        except Permanent as error:
            # It will fail again however often it is measured; nobody else's candidate waits for that.
            self._parts.write([self._parts.move(rollout, Phase.REJECTED, self._parts.cause(rollout, str(error)))])
        except Conflict:
            log.info("rollout %s moved while it was measured", rollout.id, extra={"action": "canary_lost"})
        except Retryable as error:
            self._resting[rollout.id] = self._parts.clock.monotonic() + _RETRY
            log.warning("rollout %s is measured again: %s", rollout.id, error, extra={"action": "canary_retry"})
        except Exception as error:  # noqa: BLE001 (this candidate rests; the others share nothing with it)
            self._resting[rollout.id] = self._parts.clock.monotonic() + _REST
            self._parts.report_bug(rollout, error)
        finally:
            self.on_judged()

    def _measured(self, rollout: Rollout, candidate: Candidate) -> Step:
        """What the verdict leads to. No model fails by a node that was restarted, drained or lost meanwhile."""
        step = self._judge(rollout, candidate)
        verdict, before = step.after.verdict, self._cut_short.pop(rollout.id, 0)
        if verdict is None or verdict.outcome is Outcome.PASS:
            return step
        stands = self._stands(candidate)
        # A node that has just come back may turn a connection away: what measures nothing then is no word on the model.
        if stands and not (before and verdict.outcome is Outcome.INCONCLUSIVE):
            return step
        if before < _AGAIN:
            self._cut_short[rollout.id] = before + 1
            raise CutShort(
                "the canary node had only come back from a restart"
                if stands
                else "the canary node was restarted or lost in the middle of the measurement"
            )
        return step if verdict.outcome is Outcome.INCONCLUSIVE else self._judge(rollout, _NOWHERE)

    def _stands(self, candidate: Candidate) -> bool:
        return candidate.address is None or self._nodes.stands(candidate.address, candidate.restarts)

    def _collect(self) -> None:
        """Forget measurements that ended. What they did not expect is a bug, and crashes here, loudly."""
        for rollout_id, future in list(self._running.items()):
            if future.done():
                del self._running[rollout_id]
                future.result()

    def _find(self, rollout: Rollout) -> Candidate:
        """Where the candidate is loaded; failing that, where it failed; failing that, nowhere."""
        failed = _NOWHERE
        for address, node in self._seen.counted:
            model = node.model(rollout.name)
            entry = model.state_of(rollout.version) if model else None
            if entry is None or entry.state not in _ENDED:
                continue
            found = Candidate(address=address, loaded=entry, restarts=node.restarts)
            if entry.state is VersionState.PROVEN:
                return found
            failed = found
        return failed

    def _wait(self, state: DesiredState) -> Pace:
        started = self._parts.clock.monotonic()
        # A generation whose write was only found to have happened, or a node that was away, had no nudge.
        behind = not self._seen.states or any(one.generation < state.generation for one in self._seen.states)
        wait = self._nodes.nudge_and_wait if behind else self._nodes.wait
        self._seen = wait(state.generation, _SLICE)
        told_nothing = self._parts.clock.monotonic() - started < _TOLD_NOTHING
        return Pace(wait_seconds=_PAUSE) if told_nothing else AT_ONCE


def _changes(state: DesiredState, rollouts: Sequence[Rollout], passed: frozenset[str]) -> list[Change]:
    """What brings the pool to exactly these candidates, and those of the rollouts `passed` that it has."""
    wanted = {row.name: DesiredVersion(version=row.version, digest=row.digest, rollout_id=row.id) for row in rollouts}
    listed = {model.name: model.versions for model in state.models}
    stay = {name for name, versions in listed.items() if any(one.rollout_id in passed for one in versions)}
    gone = [Remove(name=name) for name in listed if name not in wanted and name not in stay]
    came = [Isolate(name=name, version=one) for name, one in wanted.items() if listed.get(name) != (one,)]
    return [*gone, *came]
