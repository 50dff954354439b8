"""What a person holds or lets go for a whole scope: freeze, pause, quarantine.

A freeze holds promotions: canaries go on, and what passes waits. A pause holds the steps before the canary.
"""

from __future__ import annotations

from deployer.domain.approval import FLEET, pause_scope
from deployer.rollout.decisions import Decided, unchanged
from deployer.rollout.parts import Parts
from roost.contracts.events import Command, DeployCommand
from roost.ports.ledger import Freeze


class Holds:
    """Handles freeze, thaw, pause, resume and release."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def decide(self, command: DeployCommand) -> Decided:
        """Do what the command asks; each of them can be repeated."""
        if command.command is Command.RELEASE:
            return self._release(command)
        scope = command.customer or FLEET
        if command.command in {Command.FREEZE, Command.THAW}:
            return self._hold(command, scope, scope, holds=command.command is Command.FREEZE)
        scope = command.rollout_id or scope
        return self._hold(command, pause_scope(scope), scope, holds=command.command is Command.PAUSE)

    def _hold(self, command: DeployCommand, key: str, scope: str, *, holds: bool) -> Decided:
        ledger = self._parts.ledger
        what = "promotions" if command.command in {Command.FREEZE, Command.THAW} else "steps before the canary"
        of = "the whole fleet" if scope == FLEET else scope
        if holds:
            ledger.freeze(Freeze(scope=key, reason=command.reason, actor=command.actor, at=self._parts.clock.now()))
            return Decided(sentence=f"Held: {what} of {of}.", customer=command.customer)
        if not ledger.thaw(key):
            return unchanged(f"Nothing held {what} of {of}.")
        return Decided(sentence=f"No longer held: {what} of {of}.", customer=command.customer)

    def _release(self, command: DeployCommand) -> Decided:
        digest = command.digest or ""
        if not self._parts.ledger.release(digest):
            return unchanged(f"{digest} is not quarantined.")
        # A digest is received once and ROLLED_BACK is an end: nothing that was taken back starts over.
        sentence = (
            f"{digest} is released: a rollback may return to it, and a halted rollout of it may go on. "
            "To deploy again, train again."
        )
        return Decided(sentence=sentence, customer=command.customer)
