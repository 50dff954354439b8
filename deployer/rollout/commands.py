"""Commands of people: each is closed with one sentence that says what became of it, and with an event."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from deployer.rollout.decisions import Decided, Decisions, unchanged
from deployer.rollout.holds import Holds
from deployer.rollout.parts import Parts
from roost.contracts.errors import Conflict, NotFound
from roost.contracts.events import Command, DeployCommand
from roost.contracts.rollout import EXCLUSIVE, TERMINAL, Phase, Rollout
from roost.ports.ledger import CommandRow, RolloutQuery
from roost.telemetry import tracing

log = logging.getLogger(__name__)

_BATCH: Final = 50
_UNDECIDED: Final = frozenset(Phase) - TERMINAL - {Phase.LIVE, Phase.PROMOTING, Phase.ROLLING_BACK}
#: Which of a customer's rollouts a command means where it names none: the newest in one of these phases.
_MEANT: Final[Mapping[Command, frozenset[Phase]]] = {
    Command.APPROVE: frozenset({Phase.AWAITING_APPROVAL}),
    Command.PROMOTE: frozenset({Phase.AWAITING_APPROVAL, Phase.HALTED}),
    Command.REJECT: _UNDECIDED,
    Command.ROLLBACK: EXCLUSIVE - {Phase.CANARY, Phase.AWAITING_APPROVAL},
    Command.RETRY: frozenset({Phase.HALTED}),
}


class Commands:
    """Handles open commands, oldest first. Repeating one that was interrupted does no harm."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        decisions = Decisions(parts)
        self._holds = Holds(parts)
        self._deciders: Mapping[Command, Callable[[Rollout, DeployCommand], Decided]] = {
            Command.APPROVE: decisions.approve,
            Command.PROMOTE: decisions.promote,
            Command.REJECT: decisions.reject,
            Command.ROLLBACK: decisions.roll_back,
            Command.RETRY: decisions.retry,
        }

    def step(self) -> bool:
        """Handle what is open. Returns whether anything was handled.

        Raises `Retryable` where a dependency does not answer: the command stays open.
        """
        rows = self._parts.ledger.open_commands(_BATCH)
        for row in rows:
            said: dict[str, tracing.Attribute] = {
                "roost.command": row.command.command.value,
                "roost.actor": row.command.actor,
            }
            with tracing.span("deployer command", row.traceparent, said) as handled:
                self._handle(row, handled)
        return bool(rows)

    def _handle(self, row: CommandRow, handled: tracing.Span) -> None:
        command = row.command
        try:
            decided = self._decide(command)
            outcome = decided.sentence
            event = self._parts.operation(
                f"command.{command.command}",
                f"{outcome} Asked with: {command.reason}",
                key=row.event_id,
                actor=command.actor,
                customer=decided.customer or command.customer,
                facts={
                    "command_id": row.event_id,
                    "rollout_id": decided.rollout_id,
                    "done": decided.done,
                    # The log tells what was asked for as long as it tells what became of it.
                    "asked": command.model_dump(mode="json", exclude_none=True),
                },
            )
            told = replace(event, traceparent=handled.traceparent)
            self._parts.carry_out(row.event_id, decided.steps, outcome=outcome, event=told)
        except Conflict as error:
            # The rollout moved between look and write: look again, at once.
            handled.drop()
            log.info("command %s is looked at again: %s", row.event_id, error, extra={"action": "command_again"})
            return
        log.info(
            "%s by %s: %s",
            command.command,
            command.actor,
            outcome,
            extra={"action": "command", "rollout_id": decided.rollout_id, "customer": command.customer},
        )
        handled.note(**{"roost.rollout_id": decided.rollout_id or "", "roost.outcome": outcome})

    def _decide(self, command: DeployCommand) -> Decided:
        decider = self._deciders.get(command.command)
        if decider is None:
            return self._holds.decide(command)
        try:
            rollout = self._target(command)
        except NotFound as error:
            return unchanged(f"{str(error).capitalize().rstrip('.')}. See `roost rollouts`.")
        return decider(rollout, command)

    def _target(self, command: DeployCommand) -> Rollout:
        ledger = self._parts.ledger
        if command.rollout_id is not None:
            return ledger.rollout(command.rollout_id)
        if command.customer is None:
            raise NotFound(f"{command.command} needs a rollout or a customer, and a digest alone names neither")
        query = RolloutQuery(customer=command.customer, model=command.model, phases=_MEANT[command.command], limit=1)
        found = next(iter(ledger.rollouts(query)), None)
        if found is None and command.command is Command.ROLLBACK:
            found = ledger.live(command.customer, command.model)
        if found is None:
            raise NotFound(self._nothing(command))
        return found

    def _nothing(self, command: DeployCommand) -> str:
        query = RolloutQuery(customer=command.customer, model=command.model, limit=1)
        newest = next(iter(self._parts.ledger.rollouts(query)), None)
        name = f"{command.customer}.{command.model}"
        if newest is None:
            return f"there is no rollout of {name}"
        return f"nothing of {name} waits for {command.command}: its newest rollout {newest.id} is {newest.phase}"
