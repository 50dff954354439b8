"""Where a person's command is taken: who, why and about what are checked, then it is a row that the deployer reads."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployer.console import audit, shapes, views
from deployer.console.access import Caller
from deployer.console.feed import Feed
from deployer.console.problems import Refused
from deployer.console.sources import ConsoleLedger, Sources
from deployer.console.why.evidence import UnknownCustomer
from roost.contracts.errors import Conflict, NotFound, Permanent
from roost.contracts.events import FLEET_WIDE, Actor, Command, DeployCommand, Reason
from roost.contracts.ids import DEFAULT_MODEL, CustomerId, Digest, ModelId
from roost.ports.ledger import CommandRow, RolloutQuery
from roost.telemetry import metrics, tracing

log = logging.getLogger(__name__)

#: Seconds between two looks at a command that is waited for, where no wake-up comes.
_LOOK_SECONDS = 0.25
#: How far back an earlier command is looked for.
_AUDIT_ROWS = 500


class CommandRequest(BaseModel):
    """What a person asks of the deployer, and why. Names a rollout or a customer; ``release`` may name a digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Command
    #: Kept for ever, with the actor.
    reason: Reason
    #: Who asks. Where tokens are used, the token's subject counts and this is ignored.
    actor: Actor | None = None
    rollout_id: Annotated[str, Field(max_length=200)] | None = None
    #: For ``freeze`` and ``thaw``: their scope; the whole fleet where it is missing.
    customer: CustomerId | None = None
    model: ModelId = DEFAULT_MODEL
    digest: Digest | None = None


class Desk:
    """Takes commands and waits for what becomes of them."""

    def __init__(self, sources: Sources, feed: Feed) -> None:
        """Wakes up by `feed` while it waits for an outcome."""
        self._sources, self._feed = sources, feed

    def submit(self, caller: Caller, request: CommandRequest, key: str | None = None) -> views.CommandView:
        """Accept the command. The same `key` again accepts nothing new and tells of the first.

        Raises:
            Refused: the caller's roles do not allow it.
            NotFound: no such rollout, customer or quarantined digest.
            Conflict: `key` was used for another command.
            Permanent: it names nothing to act on.
        """
        now = self._sources.clock.now()
        caller.require(request.command, now)
        actor = caller.name if caller.verified else request.actor or caller.name
        command = _command(self._sources.ledger, request, actor)
        event_id = f"console-{key or uuid.uuid4()}"
        if not self._accepted(event_id, command, now):
            metrics.CONSOLE_COMMANDS.labels(command=command.command.value, result="duplicate").inc()
            return self._again(event_id, command)
        metrics.CONSOLE_COMMANDS.labels(command=command.command.value, result="accepted").inc()
        log.info(
            "%s asks to %s: %s",
            actor,
            command.command.value,
            command.reason,
            extra={
                "action": "command",
                "command": command.command.value,
                "actor": actor,
                "customer": command.customer,
                "rollout_id": command.rollout_id,
            },
        )
        return shapes.command(CommandRow(event_id=event_id, command=command, received_at=now))

    def _accepted(self, event_id: str, command: DeployCommand, now: datetime) -> bool:
        """Hand the command over, in the caller's trace where there is one. Returns whether it is new."""
        facts: dict[str, tracing.Attribute] = {"roost.command": command.command.value, "roost.actor": command.actor}
        with tracing.span("console command", tracing.here(), facts) as asked:
            new = self._sources.ledger.submit(event_id, command, at=now, traceparent=asked.traceparent)
            if not new:
                asked.drop()
        return new

    async def outcome(self, event_id: str, taken: views.CommandView, seconds: float) -> views.CommandView:
        """The command once it is done, or as it stands after `seconds`."""
        clock = self._sources.clock
        end = clock.monotonic() + seconds
        while not self._feed.stopping:
            seen = self._feed.version
            found = await asyncio.to_thread(self.find, event_id)
            left = end - clock.monotonic()
            if found is not None and found.done_at is not None:
                return found
            if left <= 0:
                return found or taken
            await self._feed.changed(seen, min(left, _LOOK_SECONDS))
        return taken

    def find(self, event_id: str) -> views.CommandView | None:
        """A command among the newest."""
        for row in self._sources.ledger.commands(_AUDIT_ROWS):
            if row.event_id == event_id:
                return audit.commands(self._sources.ledger, [row])[0]
        return None

    def _again(self, event_id: str, command: DeployCommand) -> views.CommandView:
        ledger = self._sources.ledger
        row = next((row for row in ledger.commands(_AUDIT_ROWS) if row.event_id == event_id), None)
        if row is None or row.command != command:
            raise Conflict("that Idempotency-Key was used for another command; take a new one")
        return audit.commands(ledger, [row])[0]


def _command(ledger: ConsoleLedger, request: CommandRequest, actor: str) -> DeployCommand:
    digest = request.digest
    if request.command is Command.RELEASE and digest is None:
        digest = _quarantined(ledger, request)
    _target_exists(ledger, request)
    try:
        return DeployCommand(
            command=request.command,
            actor=actor,
            reason=request.reason,
            rollout_id=request.rollout_id,
            customer=request.customer,
            model=request.model,
            digest=digest,
        )
    except ValidationError as error:
        text = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise Refused(422, "Invalid command", text, "Name a rollout_id, a customer or a digest.") from error


def _target_exists(ledger: ConsoleLedger, request: CommandRequest) -> None:
    if request.rollout_id is not None:
        rollout = ledger.rollout(request.rollout_id)
        if request.customer not in (None, rollout.customer):
            raise Permanent(f"rollout {rollout.id} belongs to {rollout.customer}, not to {request.customer}")
    elif request.customer is not None and not _known(ledger, request.customer):
        whole = " (to hold or let go the whole fleet, name no customer)" if request.command in FLEET_WIDE else ""
        raise UnknownCustomer(f"nothing is known of customer {request.customer!r}: no signup, no rollout{whole}")
    if request.digest is not None and ledger.quarantined(request.digest) is None:
        raise NotFound(f"digest {request.digest} is not quarantined")


def _known(ledger: ConsoleLedger, customer: str) -> bool:
    return ledger.onboarding(customer) is not None or bool(ledger.rollouts(RolloutQuery(customer=customer, limit=1)))


def _quarantined(ledger: ConsoleLedger, request: CommandRequest) -> str:
    if request.rollout_id is not None:
        return ledger.rollout(request.rollout_id).digest
    found = [
        entry.digest
        for entry in ledger.quarantines()
        if (entry.customer, entry.model) == (request.customer, request.model)
    ]
    if not found:
        raise NotFound(f"nothing of {request.customer or 'that target'} is quarantined")
    if len(found) > 1:
        raise Conflict(f"{len(found)} digests of {request.customer} are quarantined; name one: {', '.join(found)}")
    return found[0]
