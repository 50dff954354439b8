"""The fence against a ledger of before: lost, or restored from a backup that is older than what serves.

The ledger notes each generation before it is written, and the object says that this was done. So a ledger that knows
less than the world is one of before: its rows would take the fleet back to what they remember.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from roost.contracts.desired import DesiredState
from roost.contracts.errors import NotFound, Retryable
from roost.contracts.ids import desired_object
from roost.ports.ledger import Generations, RolloutLedger, RolloutQuery
from roost.ports.object_store import ObjectStore
from roost.telemetry import metrics

#: Metadata of a desired object whose generation the ledger had noted. Deployers of before leave it away.
NOTED: Final = "roost_noted"


class LedgerBehind(Retryable):
    """The ledger knows less than the world. It passes once the ledger is made again."""


class FenceLedger(Generations, RolloutLedger, Protocol):
    """What the fence asks."""


class Fence:
    """Shared by every loop of a deployer that acts on the ledger's word. Safe for threads."""

    def __init__(self, ledger: FenceLedger, store: ObjectStore, pools: Sequence[str]) -> None:
        """`pools` are those whose desired states this deployer writes."""
        self._ledger = ledger
        self._store = store
        self._pools = pools
        self._sure = False

    def check(self) -> None:
        """Compare every pool, once; again after `doubt`.

        Raises:
            LedgerBehind: nothing must be done by this ledger's word.
            DatabaseUnavailable, StorageUnavailable: nobody knows.
        """
        if self._sure:
            return
        for pool in self._pools:
            try:
                content, stored = self._store.read(desired_object(pool))
            except NotFound:
                metrics.LEDGER_BEHIND.labels(pool=pool).set(0)
                continue
            self._compare(pool, DesiredState.decoded(content).generation, stored.metadata)
        self._sure = True

    def doubt(self) -> None:
        """The ledger may be another one from now on."""
        self._sure = False

    def reserve(self, pool: str, held: int, metadata: Mapping[str, str], wanted: int) -> None:
        """Note generation `wanted`, which shall follow `held`. Raises as `check` does."""
        self._compare(pool, held, metadata)
        self._ledger.reserve_generation(pool, wanted)

    def _compare(self, pool: str, generation: int, metadata: Mapping[str, str]) -> None:
        known = self._ledger.newest_generation(pool)
        behind = generation - (known or 0)
        # Where it is not noted, a deployer of before wrote it, which still runs beside this one, or ran until now.
        if behind <= 0 or (NOTED not in metadata and self._ledger.rollouts(RolloutQuery(limit=1))):
            metrics.LEDGER_BEHIND.labels(pool=pool).set(0)
            return
        metrics.LEDGER_BEHIND.labels(pool=pool).set(behind)
        self._sure = False
        advice = "Nothing is deployed until `roost rebuild --onto` is through: docs/runbooks/ledger-lost.md"
        raise LedgerBehind(
            f"the ledger is older than the world: pool {pool} is at generation {generation}, and the ledger knows "
            f"{known or 'none'}. {advice}"
        )
