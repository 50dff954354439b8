"""Commands of people: each is closed with one sentence that says what became of it, and with an event."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from deployer.rollout.decisions import Decided, Decisions, unchanged
from deployer.rollout.holds import Holds
from deployer.rollout.parts import Parts
from deployer.rollout.possible import Possible
from roost.contracts.errors import Conflict, NotFound
from roost.contracts.events import FLEET_WIDE, Command, DeployCommand
from roost.contracts.rollout import Rollout
from roost.ports.ledger import CommandRow, RolloutQuery
from roost.telemetry import tracing

log = logging.getLogger(__name__)

_BATCH: Final = 50


class Commands:
    """Handles open commands, oldest first. Repeating one that was interrupted does no harm."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._possible = Possible(parts.ledger, lambda name: parts.store.stat(name) is not None)
        self._decisions = Decisions(parts, self._possible)
        self._holds = Holds(parts)

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
        if command.command in FLEET_WIDE or command.command is Command.RELEASE:
            return self._holds.decide(command)
        try:
            rollout = self._target(command)
        except NotFound as error:
            return unchanged(f"{str(error).capitalize().rstrip('.')}. See `roost rollouts`.")
        return self._decisions.decide(rollout, command)

    def _target(self, command: DeployCommand) -> Rollout:
        if command.rollout_id is not None:
            return self._parts.ledger.rollout(command.rollout_id)
        if command.customer is None:
            raise NotFound(f"{command.command} needs a rollout or a customer, and a digest alone names neither")
        found = self._possible.meant(command.command, command.customer, command.model)
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
