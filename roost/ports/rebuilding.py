"""A ledger that is made again: what is put into it, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from roost.contracts.cloudevents import Event
from roost.contracts.rollout import Rollout, Transition
from roost.ports.ledger import CommandRow, Freeze, Onboarding, Quarantine


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """An event that was handled once and must never be again."""

    #: The topic: ``customers`` or ``models.ready``.
    kind: str
    event_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltRollout:
    """A rollout with its history. Revision and sequences go on where the log ends."""

    rollout: Rollout
    history: tuple[Transition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that a ledger is filled with."""

    inbox: tuple[TakenIn, ...] = ()
    onboardings: tuple[Onboarding, ...] = ()
    #: In the order in which they last changed.
    rollouts: tuple[RebuiltRollout, ...] = ()
    #: Ids of those that answer `stable`: of their names, they count as changed last.
    answering: tuple[str, ...] = ()
    #: (customer, model) to the highest version that was ever given out.
    last_versions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    quarantines: tuple[Quarantine, ...] = ()
    #: Digests that were released, and scopes that were thawed: where a ledger still holds them, they go.
    released: frozenset[str] = frozenset()
    freezes: tuple[Freeze, ...] = ()
    thawed: frozenset[str] = frozenset()
    commands: tuple[CommandRow, ...] = ()
    #: Deploy events that Kafka has: known, so that none is told twice.
    told: tuple[Event, ...] = ()
    #: Deploy events of what was found out while rebuilding: the relay publishes them.
    untold: tuple[Event, ...] = ()
    #: Pool to the generation of its desired state.
    generations: Mapping[str, int] = field(default_factory=dict)


class RebuildLedger(Protocol):
    """Fills a ledger. Raises `DatabaseUnavailable`."""

    def rows(self) -> Mapping[str, int]:
        """Rows by table: all zero in a ledger that nobody has used. Leases do not count."""

    def fill(self, contents: Contents, *, onto: bool = False) -> None:
        """Write everything, or nothing.

        With `onto`, what is there stays, except where `contents` knows a later state: a rollout of a higher revision, a
        customer's newer event, a quarantine or a freeze that came or went. Without, a ledger that is not empty raises
        `Conflict`, whoever wrote to it meanwhile. Doing it again changes nothing.
        """
