"""Commands of people, and what stands of them: quarantines, freezes, pauses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from deployer.domain.scopes import asked as scope_asked
from roost.contracts.events import Command, DeployCommand, OperationReported, RolloutChanged
from roost.contracts.rollout import Phase
from roost.ports.ledger import CommandRow, Freeze, Quarantine
from roost.rebuild.log import Heard, Log

_COMMAND = "command."
_LOST = "It was not handled before the ledger was lost. Ask again, if it is still wanted."


@dataclass(slots=True, kw_only=True)
class Standing:
    """What stands at the end of the log."""

    quarantines: dict[str, Quarantine] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    thawed: set[str] = field(default_factory=set)
    commands: list[CommandRow] = field(default_factory=list)
    #: Commands of which no outcome is known: somebody may have to ask again.
    unanswered: list[CommandRow] = field(default_factory=list)


def standing(log: Log) -> Standing:
    """Replay what became of each command, in order."""
    asked = {heard.event.id: heard for heard in log.commands}
    found = Standing()
    outcomes: dict[str, tuple[str, datetime]] = {}
    for heard, told, command in _handled(log, asked):
        outcomes[str(told.facts.get("command_id"))] = (told.reason, heard.event.time)
        if told.facts.get("done"):
            _apply(found, command, heard.event.time, log.rollouts.get(str(told.facts.get("rollout_id")), []))
    for heard in log.commands:
        row = _row(heard, outcomes.get(heard.event.id))
        found.commands.append(row)
        if heard.event.id not in outcomes:
            found.unanswered.append(row)
    return found


def _handled(log: Log, asked: Mapping[str, Heard]) -> Iterator[tuple[Heard, OperationReported, DeployCommand]]:
    for heard, told in log.operations():
        if not told.what.startswith(_COMMAND) or "command_id" not in told.facts:
            continue
        command = _asked(told, asked.get(str(told.facts["command_id"])))
        if command is not None:
            yield heard, told, command


def _asked(told: OperationReported, heard: Heard | None) -> DeployCommand | None:
    """What was asked for: as the event says it, or as it was published, or as much as an event of before tells."""
    if heard is not None and isinstance(heard.event.data, DeployCommand):
        return heard.event.data
    said = told.facts.get("asked")
    rest = {
        "command": told.what.removeprefix(_COMMAND),
        "actor": told.actor,
        "reason": told.reason,
        "customer": told.customer,
        "rollout_id": told.facts.get("rollout_id"),
    }
    try:
        return DeployCommand.model_validate(said if isinstance(said, dict) else rest)
    except ValidationError:
        return None


def _apply(found: Standing, command: DeployCommand, at: datetime, lines: list[Heard]) -> None:
    match command.command:
        case Command.FREEZE | Command.PAUSE:
            scope = scope_asked(command).stored
            found.freezes[scope] = Freeze(scope=scope, reason=command.reason, actor=command.actor, at=at)
            found.thawed.discard(scope)
        case Command.THAW | Command.RESUME:
            for scope in scope_asked(command).stored_ways:
                found.freezes.pop(scope, None)
                found.thawed.add(scope)
        case Command.RELEASE:
            found.quarantines.pop(command.digest or "", None)
            found.released.add(command.digest or "")
        case Command.ROLLBACK | Command.REJECT:
            _quarantine(found, command, at, lines)
        case _:
            return


def _quarantine(found: Standing, command: DeployCommand, at: datetime, lines: list[Heard]) -> None:
    """What a person takes back is quarantined; what they reject before it answered is only cancelled."""
    for line in lines:
        data = line.event.data
        if not isinstance(data, RolloutChanged) or data.after is not Phase.ROLLING_BACK or data.actor != command.actor:
            continue
        found.released.discard(data.digest)
        found.quarantines.setdefault(
            data.digest,
            Quarantine(
                digest=data.digest,
                customer=data.customer,
                model=data.model,
                reason=command.reason,
                actor=command.actor,
                at=at,
            ),
        )
        return


def _row(heard: Heard, outcome: tuple[str, datetime] | None) -> CommandRow:
    data = heard.event.data
    if not isinstance(data, DeployCommand):
        raise TypeError(f"{heard.place} carries no command")
    said, at = outcome or (_LOST, heard.at)
    return CommandRow(
        event_id=heard.event.id,
        command=data,
        received_at=heard.at,
        done_at=at,
        outcome=said,
        traceparent=heard.event.traceparent,
    )
