"""Which commands of a person a rollout takes as it stands. The deployer refuses by it, the console offers by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from deployer.domain import scopes, supersede
from deployer.domain.transitions import TABLE
from roost.contracts.events import Command
from roost.contracts.ids import version_prefix
from roost.contracts.manifest import MANIFEST_NAME
from roost.contracts.rollout import EXCLUSIVE, PREVIOUS_UNKNOWN, TERMINAL, Phase, Rollout
from roost.ports.ledger import CommandLedger, RolloutLedger, RolloutQuery

#: Which of a customer's rollouts a command means where it names none: the newest in one of these phases.
_MEANT: Final[Mapping[Command, frozenset[Phase]]] = {
    Command.APPROVE: frozenset({Phase.AWAITING_APPROVAL}),
    Command.PROMOTE: frozenset({Phase.AWAITING_APPROVAL, Phase.HALTED}),
    Command.REJECT: frozenset(Phase) - TERMINAL - {Phase.LIVE, Phase.PROMOTING, Phase.ROLLING_BACK},
    Command.ROLLBACK: EXCLUSIVE - {Phase.CANARY, Phase.AWAITING_APPROVAL},
    Command.RETRY: frozenset({Phase.HALTED}),
}
#: What a rollback may start from.
_REVERSIBLE: Final = frozenset({Phase.PROMOTING, Phase.LIVE, Phase.SETTLED, Phase.HALTED})
_ANSWERING: Final = frozenset({Phase.LIVE, Phase.SETTLED})


class DecidingLedger(RolloutLedger, CommandLedger, Protocol):
    """What of the ledger these decisions look at. They write nothing."""


class Possible:
    """Looks, and writes nothing. Raises `DatabaseUnavailable`, and what `stored` raises."""

    def __init__(self, ledger: DecidingLedger, stored: Callable[[str], bool | None]) -> None:
        """`stored` says whether an object is there; None where nobody can say, and then it counts as there."""
        self._ledger, self._stored = ledger, stored
        self._refusals: Mapping[Command, Callable[[Rollout], str | None]] = {
            Command.APPROVE: self._approve,
            Command.RETRY: self._retry,
            Command.PROMOTE: self._promote,
            Command.ROLLBACK: self._roll_back,
            Command.REJECT: self._reject,
        }

    def meant(self, command: Command, customer: str, model: str) -> Rollout | None:
        """The rollout that a command means where it names a customer only."""
        query = RolloutQuery(customer=customer, model=model, phases=_MEANT[command], limit=1)
        found = next(iter(self._ledger.rollouts(query)), None)
        if found is None and command is Command.ROLLBACK:
            return self._ledger.live(customer, model)
        return found

    def refusal(self, command: Command, rollout: Rollout) -> str | None:
        """Why the rollout does not take that command, with what would help; None where it does."""
        return self._refusals[command](rollout)

    def taken(self, rollout: Rollout) -> tuple[Command, ...]:
        """Every command of one rollout that it takes, the likeliest first; a quarantined one can be released."""
        taken = [command for command in self._refusals if self.refusal(command, rollout) is None]
        released = () if self._ledger.quarantined(rollout.digest) is None else (Command.RELEASE,)
        return (*taken, *released)

    def returning(self, rollout: Rollout) -> Rollout:
        """The rollout, without its previous version where that has gone: what a customer had who left and came back."""
        answers = rollout.phase in _ANSWERING or rollout.phase is Phase.HALTED
        if answers and self._gone(rollout) is not None:
            return rollout.model_copy(update={"previous_version": None})
        return rollout

    def takes_back(self, rollout: Rollout) -> bool:
        """Whether a reject takes `returning(rollout)` back: it answers, or may, and nothing before it can."""
        first = rollout.phase in _ANSWERING and rollout.previous_version is None
        return first or rollout.phase is Phase.HALTED

    def others(self, rollout: Rollout) -> list[Rollout]:
        """Rollouts of the same name under way between CANARY and LIVE."""
        query = RolloutQuery(customer=rollout.customer, model=rollout.model, phases=EXCLUSIVE, limit=100)
        return [one for one in self._ledger.rollouts(query) if one.id != rollout.id]

    def _approve(self, rollout: Rollout) -> str | None:
        if rollout.phase is not Phase.AWAITING_APPROVAL:
            return f"Rollout {rollout.id} is {rollout.phase}: there is nothing to approve."
        freezing = scopes.freezing(rollout.customer)
        frozen = next((one.reason for one in self._ledger.freezes() if one.scope in freezing), None)
        if frozen is not None:
            return f"A freeze stands ({frozen}): thaw it and approve again, or use promote, which overrides it."
        return self._go_on(rollout)

    def _promote(self, rollout: Rollout) -> str | None:
        if rollout.phase not in _MEANT[Command.PROMOTE]:
            return f"Rollout {rollout.id} is {rollout.phase}: there is nothing to promote."
        return self._go_on(rollout)

    def _retry(self, rollout: Rollout) -> str | None:
        if rollout.phase is not Phase.HALTED:
            ended = not TABLE[rollout.phase] or rollout.phase is Phase.SETTLED
            advice = f"That is an end: train again with `roost train {rollout.customer}`." if ended else "It goes on."
            return f"Rollout {rollout.id} is {rollout.phase}. {advice}"
        return None if self.was_going_back(rollout) else self._go_on(rollout)

    def was_going_back(self, rollout: Rollout) -> bool:
        """Whether a halted rollout halted on its way back."""
        return self._ledger.history(rollout.id)[-1].before is Phase.ROLLING_BACK

    def _reject(self, rollout: Rollout) -> str | None:
        returning = self.returning(rollout)
        if self.takes_back(returning):
            return self._irreversible(returning)
        if Phase.CANCELLED not in TABLE[rollout.phase]:
            advice = "Use rollback." if rollout.phase in _REVERSIBLE else "It has ended already."
            return f"Rollout {rollout.id} is {rollout.phase}: it cannot be rejected. {advice}"
        return None

    def _roll_back(self, rollout: Rollout) -> str | None:
        refusal = self._irreversible(rollout)
        if refusal is None and rollout.phase in _ANSWERING and rollout.previous_version is None:
            unknown = "has nothing known before it, since the ledger was made again"
            first = unknown if rollout.facts.get(PREVIOUS_UNKNOWN) else "is the first: there is none to return to"
            return (
                f"Version {rollout.version} of {rollout.name} {first}. Train again "
                f"with `roost train {rollout.customer}`, or end its serving with "
                f"`roost reject --rollout {rollout.id} --reason …`."
            )
        return refusal

    def _go_on(self, rollout: Rollout) -> str | None:
        refused = self._ledger.quarantined(rollout.digest)
        if refused is not None:
            return f"The digest is quarantined ({refused.reason}): release {refused.digest} first."
        older = supersede.by_live(rollout, self._ledger.live(rollout.customer, rollout.model))
        return None if older is None else f"{older} It cannot be promoted."

    def _irreversible(self, rollout: Rollout) -> str | None:
        name = f"Rollout {rollout.id}"
        if rollout.phase is Phase.ROLLING_BACK:
            return f"{name} is on its way back already."
        if rollout.phase not in _REVERSIBLE:
            return f"{name} is {rollout.phase}: it answers nothing that could be rolled back."
        if rollout.phase is Phase.SETTLED:
            live = self._ledger.live(rollout.customer, rollout.model)
            if live is None or live.id != rollout.id:
                return f"{name} is not what answers now: version {live.version if live else 'none'} is."
        busy = [one for one in self.others(rollout) if one.phase in {Phase.PROMOTING, Phase.ROLLING_BACK}]
        if busy:
            return f"Rollout {busy[0].id} of the same name is {busy[0].phase}: roll that one back."
        return self._no_way_back(rollout)

    def _no_way_back(self, rollout: Rollout) -> str | None:
        """Why the previous version cannot answer again; None where it can, or where there is none."""
        version = rollout.previous_version
        if version is None:
            return None
        gone = self._gone(rollout)
        if gone is not None:
            return (
                f"{gone}: deploy a new model instead, or end its serving with "
                f"`roost reject --rollout {rollout.id} --reason …`."
            )
        every = RolloutQuery(customer=rollout.customer, model=rollout.model, limit=10_000)
        digest = next((row.digest for row in self._ledger.rollouts(every) if row.version == version), None)
        entry = self._ledger.quarantined(digest) if digest else None
        if entry is not None:
            return f"Version {version} is quarantined ({entry.reason}): release {entry.digest} first."
        return None

    def _gone(self, rollout: Rollout) -> str | None:
        """That the previous version's objects are gone; None where they are there, or where there is none."""
        version = rollout.previous_version
        if version is None:
            return None
        prefix = version_prefix(rollout.customer, rollout.model, version)
        if self._stored(prefix + MANIFEST_NAME) is not False:
            return None
        return f"The objects of version {version} are gone from {prefix}"
