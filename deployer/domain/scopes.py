"""What a freeze or a pause is of: the fleet, a customer or one rollout. And how the ledger's one text says which.

The fleet is ``fleet``, a customer their id, a rollout ``rollout:<id>``; a pause has ``paused:`` before it. Any id may
be a customer's: the one that is called ``fleet`` is written ``customer:fleet``, which no other scope can be, since ids
hold no colon. Rows of before have a paused rollout's bare id; they still hold it, and a resume ends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roost.contracts.events import Command, DeployCommand

_FLEET: Final = "fleet"
_CUSTOMER: Final = "customer:"
_ROLLOUT: Final = "rollout:"
_PAUSED: Final = "paused:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One rollout, or all of one customer; the whole fleet where neither is named."""

    customer: str | None = None
    rollout_id: str | None = None

    @property
    def words(self) -> str:
        """For people: whoever froze the customer ``fleet`` must see that it is not everything."""
        if self.rollout_id is not None:
            return f"rollout {self.rollout_id}"
        return f"customer {self.customer}" if self.customer is not None else "the whole fleet"

    @property
    def key(self) -> str:
        """The text that stands for it."""
        if self.rollout_id is not None:
            return _ROLLOUT + self.rollout_id
        if self.customer is None:
            return _FLEET
        return _CUSTOMER + self.customer if self.customer == _FLEET else self.customer


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldScope:
    """A scope, and whether its steps before the canary are held (a pause) or its promotions (a freeze)."""

    scope: Scope
    paused: bool

    @property
    def stored(self) -> str:
        """The ledger's text for it."""
        return (_PAUSED if self.paused else "") + self.scope.key

    @property
    def stored_ways(self) -> tuple[str, ...]:
        """Every text that a row of it may have: today's, then that of before."""
        if self.scope.rollout_id is None:
            return (self.stored,)
        return (self.stored, _PAUSED + self.scope.rollout_id)


def asked(command: DeployCommand) -> HeldScope:
    """What a freeze, a thaw, a pause or a resume is about. A freeze is never of one rollout."""
    paused = command.command in {Command.PAUSE, Command.RESUME}
    if paused and command.rollout_id is not None:
        return HeldScope(scope=Scope(rollout_id=command.rollout_id), paused=True)
    return HeldScope(scope=Scope(customer=command.customer), paused=paused)


def read(stored: str) -> HeldScope:
    """What a stored text stands for. A paused rollout's bare id, as of before, reads as a customer's."""
    paused = stored.startswith(_PAUSED)
    key = stored.removeprefix(_PAUSED)
    if key.startswith(_ROLLOUT):
        scope = Scope(rollout_id=key.removeprefix(_ROLLOUT))
    else:
        scope = Scope() if key == _FLEET else Scope(customer=key.removeprefix(_CUSTOMER))
    return HeldScope(scope=scope, paused=paused)


def freezing(customer: str) -> tuple[str, ...]:
    """Stored texts of the freezes that hold a customer's promotions."""
    return tuple(HeldScope(scope=scope, paused=False).stored for scope in (Scope(), Scope(customer=customer)))


def pausing(customer: str, rollout_id: str | None) -> tuple[str, ...]:
    """Stored texts of the pauses that hold a customer's next step before the canary, or that rollout's."""
    wide = tuple(HeldScope(scope=scope, paused=True).stored for scope in (Scope(), Scope(customer=customer)))
    if rollout_id is None:
        return wide
    return (*wide, *HeldScope(scope=Scope(rollout_id=rollout_id), paused=True).stored_ways)
