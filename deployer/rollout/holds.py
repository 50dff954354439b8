"""What a person holds or lets go for a whole scope: freeze, pause, quarantine.

A freeze holds promotions: canaries go on, and what passes waits. A pause holds the steps before the canary.
"""

from __future__ import annotations

from deployer.domain import scopes
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
        held = scopes.asked(command)
        if command.rollout_id is not None and not held.paused:
            # Passing over the rollout would freeze the fleet.
            return unchanged(
                "A freeze is of a customer, or of the whole fleet: name the customer, or pause the rollout."
            )
        return self._hold(command, held)

    def _hold(self, command: DeployCommand, held: scopes.HeldScope) -> Decided:
        ledger, at = self._parts.ledger, self._parts.clock.now()
        what = "steps before the canary" if held.paused else "promotions"
        of = held.scope.words
        if command.command in {Command.FREEZE, Command.PAUSE}:
            ledger.freeze(Freeze(scope=held.stored, reason=command.reason, actor=command.actor, at=at))
            return Decided(sentence=f"Held: {what} of {of}.", customer=command.customer)
        let_go = [ledger.thaw(stored) for stored in held.stored_ways]
        if not any(let_go):
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
