"""What a person decides of one rollout: approve, promote, reject, roll back, retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from deployer.domain import scopes, supersede
from deployer.domain.transitions import TABLE, Step
from deployer.rollout.parts import Parts
from roost.contracts.events import DeployCommand
from roost.contracts.ids import version_prefix
from roost.contracts.manifest import MANIFEST_NAME
from roost.contracts.rollout import EXCLUSIVE, PREVIOUS_UNKNOWN, Phase, Rollout
from roost.ports.ledger import Quarantine, RolloutQuery

#: What a rollback may start from.
_REVERSIBLE: Final = frozenset({Phase.PROMOTING, Phase.LIVE, Phase.SETTLED, Phase.HALTED})

_ANSWERING: Final = frozenset({Phase.LIVE, Phase.SETTLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of a command: one sentence, transitions to write, and whom it concerned."""

    sentence: str
    steps: tuple[Step, ...] = ()
    rollout_id: str | None = None
    customer: str | None = None
    #: Whether what was asked for is done, or is being done.
    done: bool = True


def unchanged(sentence: str, rollout: Rollout | None = None) -> Decided:
    """Nothing was done, and why."""
    if rollout is None:
        return Decided(sentence=sentence, done=False)
    return Decided(sentence=sentence, rollout_id=rollout.id, customer=rollout.customer, done=False)


class Decisions:
    """Each method looks, and says what to write. Raises `Retryable` where a dependency does not answer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def approve(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Let a waiting rollout go on, unless a freeze stands."""
        if rollout.phase is not Phase.AWAITING_APPROVAL:
            return unchanged(f"Rollout {rollout.id} is {rollout.phase}: there is nothing to approve.", rollout)
        frozen = self._parts.held(scopes.freezing(rollout.customer))
        if frozen is not None:
            return unchanged(
                f"A freeze stands ({frozen}): thaw it and approve again, or use promote, which overrides it.", rollout
            )
        return self._let_go(rollout, command)

    def promote(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Let a waiting or halted rollout go on, whatever is frozen."""
        if rollout.phase not in {Phase.AWAITING_APPROVAL, Phase.HALTED}:
            return unchanged(f"Rollout {rollout.id} is {rollout.phase}: there is nothing to promote.", rollout)
        return self._let_go(rollout, command)

    def reject(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """End a rollout that answers nothing yet; or one that answers and has no version before it to return to."""
        if rollout.phase in _ANSWERING | {Phase.HALTED} and self._gone(rollout) is not None:
            # What a customer who came back had before was deleted when they left.
            rollout = rollout.model_copy(update={"previous_version": None})
        if rollout.phase is Phase.HALTED or (rollout.phase in _ANSWERING and rollout.previous_version is None):
            return self._take_back(rollout, command)
        if Phase.CANCELLED not in TABLE[rollout.phase]:
            live = rollout.phase in _REVERSIBLE
            advice = "Use rollback." if live else "It has ended already."
            return unchanged(f"Rollout {rollout.id} is {rollout.phase}: it cannot be rejected. {advice}", rollout)
        step = self._step(rollout, Phase.CANCELLED, command)
        return self._did(rollout, f"Rollout {rollout.id} is cancelled.", step)

    def retry(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Take a halted rollout up again, in the direction in which it halted."""
        if rollout.phase is not Phase.HALTED:
            ended = not TABLE[rollout.phase] or rollout.phase is Phase.SETTLED
            advice = f"That is an end: train again with `roost train {rollout.customer}`." if ended else "It goes on."
            return unchanged(f"Rollout {rollout.id} is {rollout.phase}. {advice}", rollout)
        last = self._parts.ledger.history(rollout.id)[-1]
        if last.before is Phase.ROLLING_BACK:
            step = self._step(rollout, Phase.ROLLING_BACK, command)
            return self._did(rollout, f"Rollout {rollout.id} is taken back again.", step)
        return self._let_go(rollout, command)

    def roll_back(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Return to the previous version, and quarantine the digest that is taken back.

        Without a version before it a customer would be left without an answer: that takes a reject.
        """
        refusal = self._irreversible(rollout)
        if refusal is None and rollout.phase in _ANSWERING and rollout.previous_version is None:
            unknown = "has nothing known before it, since the ledger was made again"
            first = unknown if rollout.facts.get(PREVIOUS_UNKNOWN) else "is the first: there is none to return to"
            refusal = (
                f"Version {rollout.version} of {rollout.name} {first}. Train again "
                f"with `roost train {rollout.customer}`, or end its serving with `roost reject --rollout {rollout.id}`."
            )
        return self._take_back(rollout, command) if refusal is None else unchanged(refusal, rollout)

    def _take_back(self, rollout: Rollout, command: DeployCommand) -> Decided:
        refusal = self._irreversible(rollout)
        if refusal is not None:
            return unchanged(refusal, rollout)
        parts = self._parts
        parts.ledger.quarantine(
            Quarantine(
                digest=rollout.digest,
                customer=rollout.customer,
                model=rollout.model,
                reason=command.reason,
                actor=command.actor,
                at=parts.clock.now(),
            )
        )
        steps = [self._step(one, Phase.CANCELLED, command) for one in self._in_the_way(rollout)]
        steps.append(self._step(rollout, Phase.ROLLING_BACK, command))
        back = rollout.previous_version
        to = f"returns to version {back}" if back else "is no longer served: there is no version before it"
        sentence = f"{rollout.name} {to}; version {rollout.version} is quarantined."
        return self._did(rollout, sentence, *steps)

    def _let_go(self, rollout: Rollout, command: DeployCommand) -> Decided:
        parts = self._parts
        refused = parts.ledger.quarantined(rollout.digest)
        if refused is not None:
            return unchanged(f"The digest is quarantined ({refused.reason}): release {refused.digest} first.", rollout)
        live = parts.ledger.live(rollout.customer, rollout.model)
        older = supersede.by_live(rollout, live)
        if older is not None:
            return unchanged(f"{older} It cannot be promoted.", rollout)
        known = rollout.previous_version if rollout.phase is Phase.HALTED else live.version if live else None
        cause = parts.cause(rollout, command.reason, actor=command.actor)
        step = parts.move(rollout, Phase.PROMOTING, cause, approved_by=command.actor, previous_version=known)
        return self._did(rollout, f"Version {rollout.version} of {rollout.name} is being promoted.", step)

    def _irreversible(self, rollout: Rollout) -> str | None:
        parts, name = self._parts, f"Rollout {rollout.id}"
        if rollout.phase is Phase.ROLLING_BACK:
            return f"{name} is on its way back already."
        if rollout.phase not in _REVERSIBLE:
            return f"{name} is {rollout.phase}: it answers nothing that could be rolled back."
        if rollout.phase is Phase.SETTLED:
            live = parts.ledger.live(rollout.customer, rollout.model)
            if live is None or live.id != rollout.id:
                return f"{name} is not what answers now: version {live.version if live else 'none'} is."
        busy = [one for one in self._exclusive(rollout) if one.phase in {Phase.PROMOTING, Phase.ROLLING_BACK}]
        if busy:
            return f"Rollout {busy[0].id} of the same name is {busy[0].phase}: roll that one back."
        return self._no_way_back(rollout)

    def _no_way_back(self, rollout: Rollout) -> str | None:
        """Why the previous version cannot answer again; None where it can, or where there is none."""
        parts, version = self._parts, rollout.previous_version
        if version is None:
            return None
        gone = self._gone(rollout)
        if gone is not None:
            return f"{gone}: deploy a new model instead, or end its serving with `roost reject --rollout {rollout.id}`."
        every = RolloutQuery(customer=rollout.customer, model=rollout.model, limit=10_000)
        digest = next((row.digest for row in parts.ledger.rollouts(every) if row.version == version), None)
        entry = parts.ledger.quarantined(digest) if digest else None
        if entry is not None:
            return f"Version {version} is quarantined ({entry.reason}): release {entry.digest} first."
        return None

    def _gone(self, rollout: Rollout) -> str | None:
        """That the previous version's objects are gone; None where they are there, or where there is none."""
        version = rollout.previous_version
        if version is None:
            return None
        prefix = version_prefix(rollout.customer, rollout.model, version)
        if self._parts.store.stat(prefix + MANIFEST_NAME) is not None:
            return None
        return f"The objects of version {version} are gone from {prefix}"

    def _in_the_way(self, rollout: Rollout) -> list[Rollout]:
        return [one for one in self._exclusive(rollout) if Phase.CANCELLED in TABLE[one.phase]]

    def _exclusive(self, rollout: Rollout) -> list[Rollout]:
        query = RolloutQuery(customer=rollout.customer, model=rollout.model, phases=EXCLUSIVE, limit=100)
        return [one for one in self._parts.ledger.rollouts(query) if one.id != rollout.id]

    def _step(self, rollout: Rollout, after: Phase, command: DeployCommand) -> Step:
        cause = self._parts.cause(rollout, command.reason, actor=command.actor)
        return self._parts.move(rollout, after, cause)

    def _did(self, rollout: Rollout, sentence: str, *steps: Step) -> Decided:
        return Decided(sentence=sentence, steps=steps, rollout_id=rollout.id, customer=rollout.customer)
