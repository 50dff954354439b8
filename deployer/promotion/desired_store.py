"""A pool's desired object: read, and replaced by compare-and-swap at no more than the store's pace.

Safety is the precondition of the write, whoever else believes to hold the pool's lease.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployer.domain.planner import Change, plan
from deployer.promotion import models_config
from deployer.promotion.bucket import TokenBucket
from deployer.promotion.fence import NOTED, Fence
from roost.contracts.desired import DesiredState, LoadingOrder
from roost.contracts.errors import Conflict, NotFound, StorageUnavailable
from roost.contracts.ids import config_object, desired_object
from roost.contracts.incremental import Encoder, Parser
from roost.contracts.rollout import Rollout
from roost.ports.clock import Clock
from roost.ports.object_store import ObjectStore
from roost.telemetry import metrics, rollout_spans

log = logging.getLogger(__name__)

_GENERATION = "roost_generation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A desired state as it was read or written, and the store's generation of its object; 0 where there is none."""

    state: DesiredState
    object_generation: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class DesiredStore:
    """One pool's desired object. One thread at a time."""

    def __init__(
        self,
        pool: str,
        store: ObjectStore,
        clock: Clock,
        write_interval: float,
        loading: LoadingOrder = LoadingOrder.LOAD_FIRST,
    ) -> None:
        """`write_interval` in seconds, once a burst of two writes is spent; `loading` is the policy's for this pool."""
        self.pool = pool
        #: Whoever writes sets it; one that only reads needs none.
        self.fence: Fence | None = None
        #: The policy's word, which may change.
        self.loading = loading
        self._store = store
        self._bucket = TokenBucket(clock, write_interval)
        self._held: Held | None = None
        # Between two generations few models change: the others are neither parsed nor encoded again.
        self._parser, self._encoder = Parser(DesiredState), Encoder()

    def current(self) -> DesiredState:
        """What is desired, as last read or written. Raises `StorageUnavailable`."""
        return self._current().state

    def forget(self) -> None:
        """Read anew the next time: somebody else may have written."""
        self._held = None

    def confirmed(self) -> bool:
        """Whether what was last read is still there; if not, it is read anew the next time."""
        held, found = self._current(), self._store.stat(desired_object(self.pool))
        same = held.object_generation == (found.generation if found else 0)
        if not same:
            self.forget()
        return same

    def wait_seconds(self, *, spare: bool = False) -> float:
        """How long until a write is allowed; with `spare`, until it leaves another one for what is urgent."""
        return self._bucket.wait_seconds(2.0 if spare else 1.0)

    def commit(self, changes: Sequence[Change], reason: str, carried: Sequence[Rollout] = ()) -> DesiredState:
        """Write the next generation with all these changes; where they change nothing, the current state.

        `carried` are the rollouts that wait for it: the nodes tell of what they do for them in their traces.

        Raises:
            Conflict: somebody else wrote first. Nothing was written; plan again on what is there now.
            StorageUnavailable: no answer. It may have been written; plan again on what is there now.
            LedgerBehind: this ledger's word must not be followed. Nothing was written.
        """
        held = self._current()
        wanted = plan(held.state, changes, reason, self.loading)
        if wanted is held.state:
            return wanted
        metadata = {"write_id": uuid.uuid4().hex, _GENERATION: str(wanted.generation)}
        if self.fence is not None:
            self.fence.reserve(self.pool, held.state.generation, held.metadata, wanted.generation)
            metadata[NOTED] = "yes"
        self._bucket.take()
        try:
            with rollout_spans.generation(self.pool, carried) as places:
                written = self._store.write(
                    desired_object(self.pool),
                    self._encoder.encoded(wanted),
                    if_generation=held.object_generation,
                    metadata={**metadata, **places},
                )
        except (Conflict, StorageUnavailable) as error:
            self.forget()
            result = "lost_race" if isinstance(error, Conflict) else "unavailable"
            metrics.GENERATION_WRITES.labels(pool=self.pool, result=result).inc()
            raise
        self._held = Held(state=wanted, object_generation=written.generation, metadata=metadata)
        metrics.GENERATION_WRITES.labels(pool=self.pool, result="written").inc()
        metrics.GENERATION.labels(pool=self.pool).set(wanted.generation)
        log.info(
            "pool %s: generation %d: %s",
            self.pool,
            wanted.generation,
            reason,
            extra={"action": "generation", "generation": wanted.generation},
        )
        return wanted

    def publish_config(self) -> bool:
        """Bring `models.config` to the current generation. Returns whether it had to be written.

        Nobody waits for this object: nodes read the desired one. It is kept for stock model servers.
        """
        state = self.current()
        name = config_object(self.pool)
        found = self._store.stat(name)
        if found is not None and found.metadata.get(_GENERATION) == str(state.generation):
            return False
        if found is None and state.generation == 0:
            return False
        self._store.write(
            name,
            models_config.render(state, self._store.uri),
            if_generation=found.generation if found else 0,
            metadata={"write_id": uuid.uuid4().hex, _GENERATION: str(state.generation)},
        )
        return True

    def _current(self) -> Held:
        if self._held is None:
            try:
                content, stored = self._store.read(desired_object(self.pool))
                self._held = Held(
                    state=self._parser.received(content),
                    object_generation=stored.generation,
                    metadata=stored.metadata,
                )
            except NotFound:
                self._held = Held(state=DesiredState.empty(self.pool), object_generation=0)
            metrics.GENERATION.labels(pool=self.pool).set(self._held.state.generation)
        return self._held
