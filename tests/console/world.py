"""A small world for the console on the in-memory parts, with shortcuts to write history into it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deployer.console.desired_objects import DesiredObjects
from deployer.console.sources import TRAINING_DAG, ConsoleLedger, Sources
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts import events
from roost.contracts.acks import NodeState
from roost.contracts.cloudevents import Event
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.errors import NodeUnavailable
from roost.contracts.events import CustomerSignedUp, RolloutChanged
from roost.contracts.ids import desired_object, version_prefix
from roost.contracts.manifest import MANIFEST_NAME
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.ports.clock import Clock, SystemClock
from roost.ports.ledger import Change, OnboardingStage, Wakeups
from roost.ports.serving import NodeAddress
from tests.console.verdicts import passed

AIRLINES = {
    "ua": "United Air Lines", "b6": "JetBlue Airways", "ev": "ExpressJet Airlines", "dl": "Delta Air Lines",
    "aa": "American Airlines", "mq": "Envoy Air", "us": "US Airways", "9e": "Endeavor Air", "wn": "Southwest Airlines",
    "vx": "Virgin America", "fl": "AirTran Airways", "oo": "SkyWest Airlines", "as": "Alaska Airlines",
}  # fmt: skip


@dataclass
class World:
    """The parts, and shortcuts to write history into them."""

    clock: Clock
    ledger: ConsoleLedger
    store: InMemoryObjectStore
    pool: InMemoryPool
    pools: Pools
    workflow: InMemoryWorkflow
    start: datetime
    listen: Callable[[], Wakeups]
    generation: int = 0

    @classmethod
    def empty(cls, clock: Clock | None = None) -> World:
        clock = clock or SystemClock()
        store = InMemoryObjectStore()
        pool = InMemoryPool(store, clock, check_artifacts=False)
        ledger = InMemoryLedger(clock)
        return cls(
            clock=clock,
            ledger=ledger,
            listen=ledger.wakeups,
            store=store,
            pool=pool,
            pools=Pools(pool, InMemoryPool(store, clock, pool="canary", nodes=1, check_artifacts=False)),
            workflow=InMemoryWorkflow(),
            start=clock.now() - timedelta(minutes=42),
        )

    @property
    def sources(self) -> Sources:
        return Sources(
            ledger=self.ledger,
            desired=DesiredObjects(lambda: self.store, self.clock),
            directory=self.pools,
            control=self.pools,
            workflow=self.workflow,
            clock=self.clock,
            pools=("default", "canary"),
            wakeups=self.listen,
        )

    def sign_up(
        self, customer: str, after: float, stage: OnboardingStage = OnboardingStage.TRAINING, **fields: object
    ) -> None:
        at = self.start + timedelta(seconds=after)
        run_id = f"signup-{customer}"
        payload = CustomerSignedUp(customer=customer, name=AIRLINES.get(customer, ""))
        self.ledger.sign_up(f"event-{customer}", payload, at=at, run_id=run_id)
        row = self.ledger.onboarding(customer)
        assert row is not None
        self.ledger.set_onboarding(replace(row, stage=stage, **fields))  # type: ignore[arg-type]  # fields of the row

    def ran(self, run_id: str, state: str) -> None:
        """The workflow engine knows that run, in that state."""
        self.workflow.start(TRAINING_DAG, run_id, {}, note="")
        self.workflow.finish(TRAINING_DAG, run_id, state)

    def receive(self, customer: str, after: float, run_id: str | None = None, **facts: object) -> Rollout:
        run_id = run_id or f"signup-{customer}"
        self.ran(run_id, "success")
        at = self.start + timedelta(seconds=after)
        digest = "sha256:" + hashlib.sha256(f"{customer}/{run_id}".encode()).hexdigest()
        rollout = Rollout(
            id=f"{customer}-{run_id}-{digest[7:15]}",
            customer=customer,
            model="default",
            pool="default",
            phase=Phase.RECEIVED,
            run_id=run_id,
            digest=digest,
            artifact_uri=f"gs://roost/staging/{customer}/default/{run_id}/",
            trained_at=at - timedelta(seconds=1.2),
            received_at=at,
            entered_at=at,
            deadline=at + timedelta(seconds=300),
            reason="model-ready event received",
            facts={
                "scope": "own",
                "code_version": "3f2c1ab",
                "data_window": ["2013-01-01", "2013-10-01"],
                "metrics": {"log_loss": 0.4312, "baseline_log_loss": 0.5127, "auc": 0.713},
                **facts,
            },
        )
        created = self.ledger.receive(rollout, event_id=f"ready-{rollout.id}", events=[_event(rollout, None, 1, at)])
        assert created
        return rollout

    def move(self, rollout: Rollout, phase: Phase, seconds: float, reason: str, **update: object) -> Rollout:
        actor = str(update.pop("actor", "deployer"))
        facts = update.pop("transition_facts", {})
        at = rollout.entered_at + timedelta(seconds=seconds)
        history = self.ledger.history(rollout.id)
        deadline = None if phase in {Phase.LIVE, Phase.SETTLED} else at + timedelta(minutes=5)
        after = rollout.model_copy(
            update={"phase": phase, "entered_at": at, "reason": reason, "deadline": deadline, **update}
        )
        line = Transition.model_validate(
            {
                "rollout_id": rollout.id, "sequence": len(history) + 1, "before": rollout.phase, "after": phase,
                "at": at, "actor": actor, "reason": reason, "facts": facts,
            }
        )  # fmt: skip
        self.ledger.apply(
            [
                Change(
                    before=rollout,
                    after=after,
                    transition=line,
                    events=[_event(after, rollout.phase, line.sequence, at)],
                )
            ]
        )
        return self.ledger.rollout(rollout.id)

    def vetted(self, rollout: Rollout) -> Rollout:
        version = self.ledger.allocate_version(rollout.id)
        live = self.ledger.live(rollout.customer, rollout.model)
        self.store.write(
            version_prefix(rollout.customer, rollout.model, version) + MANIFEST_NAME, b"{}", if_generation=0
        )
        rollout = self.move(
            rollout, Phase.STORED, 0.21, f"copied as version {version} and verified", version=version,
            previous_version=live.version if live else None, transition_facts={"bytes": 412_388, "files": 9},
        )  # fmt: skip
        return self.move(
            rollout, Phase.VETTED, 0.06, "31 operators allowed, signature compatible, digest not quarantined"
        )

    def canary(self, rollout: Rollout) -> Rollout:
        return self.move(rollout, Phase.CANARY, 0.03, "loading on canary-1")

    def promote(self, rollout: Rollout) -> Rollout:
        generation = self.generation + 1
        rollout = self.move(
            rollout, Phase.PROMOTING, 0.82, f"listed in generation {generation} of pool default",
            verdict=passed(), load_generation=generation, transition_facts={"generation": generation},
        )  # fmt: skip
        self.serve(rollout)
        return self.move(
            rollout, Phase.LIVE, 0.46, f"version {rollout.version} answers on 3 of 3 nodes", skew_ms=7.4,
            flip_generation=self.generation, transition_facts={"generation": self.generation, "skew_ms": 7.4, "nodes": 3},
        )  # fmt: skip

    def serve(self, rollout: Rollout) -> None:
        """Write the desired state with this version as stable; the nodes take it up."""
        name = desired_object("default")
        found = self.store.stat(name)
        state = DesiredState.decoded(self.store.read(name)[0]) if found else DesiredState.empty("default")
        models = {model.name: model for model in state.models}
        old = models.get(rollout.name)
        kept = [entry for entry in (old.versions if old else ()) if entry.version == rollout.previous_version]
        new = DesiredVersion(version=rollout.version, digest=rollout.digest, rollout_id=rollout.id)
        labels = {"stable": rollout.version} | ({"previous": kept[0].version} if kept else {})
        models[rollout.name] = DesiredModel(name=rollout.name, versions=(*kept, new), labels=labels)
        self.generation = state.generation + 2
        after = DesiredState(
            pool="default",
            generation=self.generation,
            models=tuple(models[key] for key in sorted(models)),
            reason=f"{rollout.name} to version {rollout.version}",
        )
        self.store.write(name, after.encoded(), if_generation=found.generation if found else 0)
        self.pool.poll()


class Pools:
    """Several pools behind one directory and one control."""

    def __init__(self, *pools: InMemoryPool) -> None:
        self._pools = pools
        #: Why the directory cannot be read, while it cannot.
        self.lost: str | None = None

    def nodes(self, pool: str) -> Sequence[NodeAddress]:
        if self.lost:
            raise NodeUnavailable(self.lost)
        return [node for each in self._pools for node in each.nodes(pool)]

    def state(self, node: NodeAddress, *, deadline: float) -> NodeState:
        return self._of(node).state(node, deadline=deadline)

    def nudge(self, node: NodeAddress, generation: int, *, deadline: float) -> None:
        self._of(node).nudge(node, generation, deadline=deadline)

    def await_settled(self, node: NodeAddress, generation: int, *, deadline: float) -> NodeState:
        return self._of(node).await_settled(node, generation, deadline=deadline)

    def drain(self, node: NodeAddress, *, deadline: float) -> None:
        self._of(node).drain(node, deadline=deadline)

    def restart(self, node: NodeAddress, *, deadline: float) -> None:
        self._of(node).restart(node, deadline=deadline)

    def _of(self, node: NodeAddress) -> InMemoryPool:
        return next(each for each in self._pools if node in each.nodes(node.pool))


def _event(rollout: Rollout, before: Phase | None, sequence: int, at: datetime) -> Event:
    data = RolloutChanged(
        rollout_id=rollout.id, customer=rollout.customer, model=rollout.model, pool=rollout.pool,
        version=rollout.version, digest=rollout.digest, run_id=rollout.run_id, sequence=sequence, before=before,
        after=rollout.phase, actor="deployer", reason=rollout.reason,
    )  # fmt: skip
    return Event(
        id=f"{rollout.id}/{sequence}", type=events.rollout_type(rollout.phase), source="roost/deployer",
        subject=rollout.customer, time=at, data=data,
    )  # fmt: skip
