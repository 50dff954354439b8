"""What a person decides of one rollout: approve, promote, reject, roll back, retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deployer.domain.transitions import TABLE, Step
from deployer.rollout.parts import Parts
from deployer.rollout.possible import Possible
from roost.contracts.events import Command, DeployCommand
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import Quarantine


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

    def __init__(self, parts: Parts, possible: Possible) -> None:
        self._parts, self._possible = parts, possible
        self._methods: Mapping[Command, Callable[[Rollout, DeployCommand], Decided]] = {
            Command.APPROVE: self._let_go,
            Command.PROMOTE: self._let_go,
            Command.REJECT: self._reject,
            Command.ROLLBACK: self._take_back,
            Command.RETRY: self._retry,
        }

    def decide(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Do what the command asks of the rollout, or say why not."""
        refusal = self._possible.refusal(command.command, rollout)
        return unchanged(refusal, rollout) if refusal is not None else self._methods[command.command](rollout, command)

    def _reject(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """End a rollout that answers nothing yet; or one that answers and has no version before it to return to."""
        returning = self._possible.returning(rollout)
        if self._possible.takes_back(returning):
            return self._take_back(returning, command)
        step = self._step(rollout, Phase.CANCELLED, command)
        return self._did(rollout, f"Rollout {rollout.id} is cancelled.", step)

    def _retry(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Take a halted rollout up again, in the direction in which it halted."""
        if self._possible.was_going_back(rollout):
            step = self._step(rollout, Phase.ROLLING_BACK, command)
            return self._did(rollout, f"Rollout {rollout.id} is taken back again.", step)
        return self._let_go(rollout, command)

    def _take_back(self, rollout: Rollout, command: DeployCommand) -> Decided:
        """Return to the previous version, and quarantine the digest that is taken back."""
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
        in_the_way = [one for one in self._possible.others(rollout) if Phase.CANCELLED in TABLE[one.phase]]
        steps = [self._step(one, Phase.CANCELLED, command) for one in in_the_way]
        steps.append(self._step(rollout, Phase.ROLLING_BACK, command))
        back = rollout.previous_version
        to = f"returns to version {back}" if back else "is no longer served: there is no version before it"
        sentence = f"{rollout.name} {to}; version {rollout.version} is quarantined."
        return self._did(rollout, sentence, *steps)

    def _let_go(self, rollout: Rollout, command: DeployCommand) -> Decided:
        parts = self._parts
        live = parts.ledger.live(rollout.customer, rollout.model)
        known = rollout.previous_version if rollout.phase is Phase.HALTED else live.version if live else None
        cause = parts.cause(rollout, command.reason, actor=command.actor)
        step = parts.move(rollout, Phase.PROMOTING, cause, approved_by=command.actor, previous_version=known)
        return self._did(rollout, f"Version {rollout.version} of {rollout.name} is being promoted.", step)

    def _step(self, rollout: Rollout, after: Phase, command: DeployCommand) -> Step:
        cause = self._parts.cause(rollout, command.reason, actor=command.actor)
        return self._parts.move(rollout, after, cause)

    def _did(self, rollout: Rollout, sentence: str, *steps: Step) -> Decided:
        return Decided(sentence=sentence, steps=steps, rollout_id=rollout.id, customer=rollout.customer)
