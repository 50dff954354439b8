"""Opens what a rebuild reads and writes: the one place where it meets its adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from consumers.models import Place
from roost import policy_file
from roost.contracts.errors import Conflict, DatabaseUnavailable
from roost.ports.clock import SystemClock
from roost.ports.rebuilding import RebuildLedger
from roost.rebuild.log import Progress
from roost.rebuild.plan import Plan, Remains, planned, reported
from roost.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A rebuild, ready to be done."""

    ledger: RebuildLedger
    remains: Remains

    def plan(self, progress: Progress, *, onto: bool) -> Plan:
        """What would be written.

        Raises:
            Conflict: the ledger is not empty, and `onto` was not said.
            Retryable: something does not answer.
        """
        found = {table: count for table, count in self.ledger.rows().items() if count}
        if found and not onto:
            raise Conflict(_not_empty(found))
        return planned(self.remains, progress)

    def write(self, plan: Plan, *, onto: bool) -> None:
        """Fill the ledger, all or nothing. Raises `Conflict` where somebody wrote to it meanwhile."""
        self.ledger.fill(reported(plan, self.remains.clock).contents, onto=onto)


@contextmanager
def opened(settings: Settings) -> Iterator[Rebuild]:
    """A rebuild by these settings.

    Raises:
        DatabaseUnavailable: PostgreSQL is away, or its schema is not the newest.
    """
    from roost.adapters.gcs import open_store
    from roost.adapters.kafka import open_reader
    from roost.adapters.postgres import migrate, open_ledger

    found, newest = migrate.current(settings.database), migrate.head()
    if found != newest:
        raise DatabaseUnavailable(f"the schema is at {found or '(none)'}, not {newest}: run `roost database migrate`")
    clock = SystemClock()
    ledger = open_ledger(settings.database, clock)
    try:
        yield Rebuild(
            ledger=ledger,
            remains=Remains(
                store=open_store(settings.storage),
                reader=open_reader(settings.kafka),
                policy=policy_file.read(settings.deployer.policy_file),
                place=Place(bucket=settings.storage.bucket, pool=settings.serving.pool),
                canary_pool=settings.serving.canary_pool,
                clock=clock,
            ),
        )
    finally:
        ledger.close()


def _not_empty(found: Mapping[str, int]) -> str:
    rows = ", ".join(f"{count} in {table}" for table, count in found.items())
    return (
        f"the ledger is not empty ({rows}). Where that is a backup of before, or what consumers took in since the "
        "loss: `roost rebuild --onto` keeps it and adds what the log knows beyond it. See docs/runbooks/ledger-lost.md"
    )
