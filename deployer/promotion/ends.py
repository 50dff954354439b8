"""How a rollout leaves its pool's hands: proved, failed, or too late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from deployer.domain.approval import BY_POLICY
from deployer.domain.transitions import Step
from deployer.promotion.trace import Traces
from deployer.rollout.parts import Parts
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import RolloutQuery
from roost.telemetry import metrics

_DONE: Final = {Phase.PROMOTING: Phase.LIVE, Phase.ROLLING_BACK: Phase.ROLLED_BACK, Phase.LIVE: Phase.SETTLED}
#: HALTED asks a person: going back failed as well, or nobody knows what answers.
_FAILED: Final = {Phase.PROMOTING: Phase.ROLLING_BACK, Phase.ROLLING_BACK: Phase.HALTED, Phase.LIVE: Phase.HALTED}


class Ends:
    """Makes the steps. Writes nothing but the report of what is late and cannot be judged."""

    def __init__(self, parts: Parts, traces: Traces) -> None:
        self._parts = parts
        self._traces = traces

    def done(self, rollout: Rollout, reason: str, facts: Mapping[str, object]) -> Step:
        """Every node that counts has proved it."""
        trace = self._traces.of(rollout)
        fields: dict[str, object] = {}
        if rollout.phase is Phase.PROMOTING:
            fields = {"load_generation": trace.load_generation, "flip_generation": trace.flip_generation}
            fields["skew_ms"] = facts.get("skew_ms")
            self._measure(rollout, facts)
        cause = self._parts.cause(rollout, reason, facts={**facts, **self._traces.facts(rollout)})
        return self._parts.move(rollout, _DONE[rollout.phase], cause, **fields)

    def outdone(self, rollout: Rollout, reason: str) -> Step:
        """A bake ends early. The row keeps the bake's end: so long the previous version stays loaded."""
        cause = self._parts.cause(rollout, reason)
        return self._parts.move(rollout, Phase.SETTLED, cause, deadline=rollout.deadline)

    def failed(self, rollout: Rollout, reason: str) -> Step:
        """It will not come."""
        cause = self._parts.cause(rollout, reason, facts=self._traces.facts(rollout))
        return self._parts.move(rollout, _FAILED[rollout.phase], cause)

    def late(self, rollout: Rollout, reason: str, *, counted: int) -> Step | None:
        """What follows where it has waited past its phase's deadline; None while it has not.

        Without a single ready node nobody can tell what going back would do: it waits, is reported once, and nodes
        that are back have the whole time again. One outage of a pool must not leave every rollout to a person.
        """
        deadlines = self._parts.rules(rollout).deadlines
        limit = deadlines.rolling_back if rollout.phase is Phase.ROLLING_BACK else deadlines.promoting
        if counted == 0 and rollout.phase is not Phase.LIVE:
            self._traces.without_nodes(rollout)
            if self._traces.waited(rollout) >= limit:
                self._report(rollout, limit)
            return None
        if self._traces.waited_for_nodes(rollout) < limit:
            return None
        sentence = f"Not done within {limit:g} s: {reason}"
        if rollout.phase is Phase.LIVE:
            return self.done(rollout, sentence, {})
        cause = self._parts.cause(rollout, sentence, facts=self._traces.facts(rollout))
        return self._parts.move(rollout, _FAILED[rollout.phase], cause)

    def _report(self, rollout: Rollout, limit: float) -> None:
        marks = self._traces.of(rollout).marks
        if "told" in marks:
            return
        waits = f"has waited in {rollout.phase} for over {limit:g} s and goes on waiting"
        reason = f"Rollout {rollout.id} {waits}: pool {rollout.pool} has no ready node."
        event = self._parts.operation(
            "rollout.late", reason, key=f"{rollout.id}/{rollout.phase}", customer=rollout.customer, pool=rollout.pool
        )
        self._parts.ledger.add_events([event])
        marks["told"] = self._parts.clock.monotonic()

    def _measure(self, rollout: Rollout, facts: Mapping[str, object]) -> None:
        seconds = (self._parts.clock.now() - rollout.received_at).total_seconds()
        # Whoever asks for approvals knows that they take time: the objective is what Roost takes.
        if rollout.approved_by in {None, BY_POLICY}:
            metrics.READY_TO_SERVING.observe(seconds)
        signed_up = self._first_answer(rollout)
        if signed_up is not None:
            metrics.SIGNUP_TO_ANSWER.observe((self._parts.clock.now() - signed_up).total_seconds())
        skew = facts.get("skew_ms")
        if isinstance(skew, float):
            metrics.FLIP_SKEW.labels(pool=rollout.pool).observe(skew / 1000)

    def _first_answer(self, rollout: Rollout) -> datetime | None:
        """When the customer signed up, if this is the first that answers since then."""
        if rollout.previous_version is not None:
            return None
        row = self._parts.ledger.onboarding(rollout.customer)
        if row is None or row.model != rollout.model or rollout.received_at < row.signed_up_at:
            return None
        others = self._parts.ledger.rollouts(RolloutQuery(customer=rollout.customer, model=rollout.model))
        before = any(one.flip_generation and one.received_at >= row.signed_up_at for one in others)
        return None if before else row.signed_up_at
