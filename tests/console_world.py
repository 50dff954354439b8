"""A small world for the console: a dozen customers in every phase, on the in-memory parts.

`python -m tests.console_world --port 8088` serves it, for looking at the pages without a stack.
"""

from __future__ import annotations

import argparse
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deployer.console.sources import TRAINING_DAG, Sources
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.adapters.in_memory.workflow import InMemoryWorkflow
from roost.contracts import events
from roost.contracts.cloudevents import Event
from roost.contracts.desired import DesiredModel, DesiredState, DesiredVersion
from roost.contracts.events import Command, CustomerSignedUp, OperationReported, RolloutChanged
from roost.contracts.ids import desired_object
from roost.contracts.rollout import Phase, Rollout, Transition
from roost.contracts.verdict import CheckResult, Outcome, Verdict
from roost.ports.clock import Clock, SystemClock
from roost.ports.ledger import Change, CommandRow, Freeze, OnboardingStage, Quarantine, RolloutQuery

AIRLINES = {
    "ua": "United Air Lines", "b6": "JetBlue Airways", "ev": "ExpressJet Airlines", "dl": "Delta Air Lines",
    "aa": "American Airlines", "mq": "Envoy Air", "us": "US Airways", "9e": "Endeavor Air", "wn": "Southwest Airlines",
    "vx": "Virgin America", "fl": "AirTran Airways", "oo": "SkyWest Airlines", "as": "Alaska Airlines",
}  # fmt: skip


@dataclass
class World:
    """The parts, and shortcuts to write history into them."""

    clock: Clock
    ledger: InMemoryLedger
    store: InMemoryObjectStore
    pool: InMemoryPool
    canary: InMemoryPool
    workflow: InMemoryWorkflow
    start: datetime
    generation: int = 0

    @classmethod
    def empty(cls, clock: Clock | None = None) -> World:
        clock = clock or SystemClock()
        store = InMemoryObjectStore()
        return cls(
            clock=clock,
            ledger=InMemoryLedger(clock),
            store=store,
            pool=InMemoryPool(store, clock, check_artifacts=False),
            canary=InMemoryPool(store, clock, pool="canary", nodes=1, check_artifacts=False),
            workflow=InMemoryWorkflow(),
            start=clock.now() - timedelta(minutes=42),
        )

    @property
    def sources(self) -> Sources:
        return Sources(
            ledger=self.ledger,
            store=self.store,
            directory=_Both(self.pool, self.canary),
            control=_Both(self.pool, self.canary),
            workflow=self.workflow,
            clock=self.clock,
            pools=("default", "canary"),
            wakeups=self.ledger.wakeups,
        )

    def sign_up(self, customer: str, after: float, stage: OnboardingStage = OnboardingStage.TRAINING) -> None:
        at = self.start + timedelta(seconds=after)
        run_id = f"signup-{customer}"
        payload = CustomerSignedUp(customer=customer, name=AIRLINES.get(customer, ""))
        self.ledger.sign_up(f"event-{customer}", payload, at=at, run_id=run_id)
        row = self.ledger.onboarding(customer)
        assert row is not None
        self.ledger.set_onboarding(replace(row, stage=stage))

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
        rollout = self.move(
            rollout, Phase.STORED, 0.21, f"copied as version {version} and verified", version=version,
            previous_version=live.version if live else None, transition_facts={"bytes": 412_388, "files": 9},
        )  # fmt: skip
        return self.move(
            rollout, Phase.VETTED, 0.06, "31 operators allowed, signature compatible, digest not quarantined"
        )

    def canary_run(self, rollout: Rollout, verdict: Verdict | None = None) -> Rollout:
        rollout = self.move(rollout, Phase.CANARY, 0.03, "loading on canary-1")
        return rollout if verdict is None else rollout.model_copy(update={"verdict": verdict})

    def promote(self, rollout: Rollout) -> Rollout:
        generation = self.generation + 1
        rollout = self.move(
            rollout, Phase.PROMOTING, 0.82, f"listed in generation {generation} of pool default",
            verdict=rollout.verdict or passed(), load_generation=generation, transition_facts={"generation": generation},
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


class _Both:
    """Two pools behind one directory and one control."""

    def __init__(self, *pools: InMemoryPool) -> None:
        self._pools = pools

    def nodes(self, pool: str) -> Sequence[object]:
        return [node for each in self._pools for node in each.nodes(pool)]

    def __getattr__(self, name: str) -> object:
        def call(node, *args, **named):
            owner = next(each for each in self._pools if node in each.nodes(node.pool))
            return getattr(owner, name)(node, *args, **named)

        return call


def passed() -> Verdict:
    return Verdict.of(
        (
            CheckResult(check="load", outcome=Outcome.PASS, sentence="Loaded in 0.31 s with 4.2 MB.", statistic="seconds",
                        estimate=0.31, threshold=60, n=1, seconds=0.31),
            CheckResult(check="signature", outcome=Outcome.PASS, sentence="All 7 inputs and 1 output are as declared.", n=8,
                        seconds=0.01),
            CheckResult(check="golden", outcome=Outcome.PASS, statistic="max_abs_difference", estimate=3.1e-8, threshold=1e-4,
                        sentence="32 recorded requests gave the recorded answers.", n=32, seconds=0.12),
            CheckResult(check="sanity", outcome=Outcome.PASS, sentence="Answers are finite, within 0 to 1 and vary.",
                        statistic="spread", estimate=0.41, threshold=1e-6, n=128, seed=7, seconds=0.18),
        )
    )  # fmt: skip


def failed_sanity() -> Verdict:
    first = passed().checks[:3]
    return Verdict.of(
        (*first, CheckResult(check="sanity", outcome=Outcome.FAIL, statistic="non_finite", estimate=128, threshold=0, n=128,
                             sentence="128 of 128 answers are NaN: `late_probability` must be within 0 and 1.", seconds=0.16)),
    )  # fmt: skip


def inconclusive() -> Verdict:
    first = passed().checks[:3]
    return Verdict.of(
        (*first, CheckResult(check="sanity", outcome=Outcome.INCONCLUSIVE, statistic="spread", n=6, threshold=16, seed=7,
                             sentence="Only 6 rows were held out; 16 are needed to call an output constant.", seconds=0.05)),
    )  # fmt: skip


def build(clock: Clock | None = None) -> World:
    """A dozen rollouts, every phase at least once, an unfinished signup, a freeze, a quarantine, commands."""
    world = World.empty(clock)
    for order, customer in enumerate(AIRLINES):
        world.sign_up(customer, order * 40.0)
    _settled_and_live(world)
    _refused(world)
    _under_way(world)
    world.ran("signup-as", "running")
    _commands(world)
    return world


def _settled_and_live(world: World) -> None:
    first = world.promote(world.canary_run(world.vetted(world.receive("ua", 25))))
    world.move(first, Phase.SETTLED, 600, "bake over, previous version unloaded")
    second = world.canary_run(world.vetted(world.receive("ua", 1500, "retrain-ua-2013-11")))
    world.promote(second)
    world.promote(world.canary_run(world.vetted(world.receive("b6", 90, scope="own"))))
    tiny = world.receive("oo", 470, scope="cohort", cohort=["ev", "mq", "9e"])
    world.promote(world.canary_run(world.vetted(tiny)))
    good = world.promote(world.canary_run(world.vetted(world.receive("ev", 110))))
    good = world.move(good, Phase.SETTLED, 600, "bake over, previous version unloaded")
    bad = world.promote(world.canary_run(world.vetted(world.receive("ev", 1700, "retrain-ev-2013-11"))))
    bad = world.move(bad, Phase.ROLLING_BACK, 200, "rollback asked: support reports odd scores", actor="maria")
    world.move(bad, Phase.ROLLED_BACK, 0.38, "flipped back in 0.38 s; digest quarantined", actor="maria")
    world.serve(good)
    world.ledger.quarantine(
        Quarantine(
            digest=bad.digest,
            customer="ev",
            model="default",
            reason="support reports odd scores",
            actor="maria",
            at=bad.entered_at,
        )
    )


def _refused(world: World) -> None:
    nan = world.canary_run(world.vetted(world.receive("dl", 150)))
    world.move(nan, Phase.REJECTED, 0.7, failed_sanity().sentence, verdict=failed_sanity())
    world.move(world.receive("aa", 200), Phase.REJECTED, 0.15, "assets/vocab.txt: sha256 differs from the manifest's")
    old = world.vetted(world.receive("mq", 240))
    world.move(old, Phase.SUPERSEDED, 0.1, "a newer artifact was trained at 2013-11-02")
    asked = world.canary_run(world.vetted(world.receive("us", 280)))
    asked = world.move(asked, Phase.AWAITING_APPROVAL, 0.8, inconclusive().sentence, verdict=inconclusive())
    world.move(asked, Phase.CANCELLED, 95, "rejected by maria: too few rows, wait for more data", actor="maria")


def _under_way(world: World) -> None:
    waits = world.canary_run(world.vetted(world.receive("9e", 2300)))
    world.move(waits, Phase.AWAITING_APPROVAL, 0.9, inconclusive().sentence, verdict=inconclusive())
    world.canary_run(world.vetted(world.receive("wn", 2490)))
    halted = world.canary_run(world.vetted(world.receive("vx", 1900)))
    halted = world.move(halted, Phase.PROMOTING, 0.8, "listed in a generation", verdict=passed(), load_generation=9)
    world.move(
        halted, Phase.HALTED, 300, "default-3 did not load version 1 within 300 s, and could not be flipped back"
    )
    world.receive("fl", 2515)
    world.ledger.freeze(
        Freeze(scope="b6", reason="their launch day", actor="maria", at=world.start + timedelta(minutes=30))
    )


def _commands(world: World) -> None:
    at = world.start + timedelta(seconds=375)
    command = events.DeployCommand(
        command=Command.REJECT, actor="maria", reason="too few rows, wait for more data", customer="us"
    )
    world.ledger.submit("console-us", command, at=at)
    report = OperationReported(what="freeze", customer="b6", actor="maria", reason="their launch day")
    told = Event(
        id="op-1", type=events.OPERATION_REPORTED, source="roost/deployer", subject="b6",
        time=world.start + timedelta(minutes=30), data=report,
    )  # fmt: skip
    world.ledger.close_command(
        "console-us", outcome="rejected: version 1 is CANCELLED", at=at + timedelta(seconds=0.2), events=[told]
    )


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


class SmallDeployer:
    """Does approve, reject and rollback as simply as can be, so that the buttons of the pages lead somewhere."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, stop: threading.Event) -> None:
        wakeups = self._world.ledger.wakeups()
        while not stop.is_set():
            for row in self._world.ledger.open_commands(10):
                self.handle(row)
            wakeups.wait(0.2)

    def handle(self, row: CommandRow) -> None:
        command, ledger = row.command, self._world.ledger
        rollout_id = command.rollout_id
        if rollout_id is None and command.customer:
            found = ledger.rollouts(RolloutQuery(customer=command.customer, limit=1))
            rollout_id = found[0].id if found else None
        outcome = f"{command.command.value} done"
        if rollout_id:
            outcome = self._act(command.command, command.actor, command.reason, ledger.rollout(rollout_id))
        told = OperationReported(
            what=f"command.{command.command}", actor=command.actor, reason=outcome, customer=command.customer,
            facts={"command_id": row.event_id, "rollout_id": rollout_id, "done": not outcome.startswith("refused")},
        )  # fmt: skip
        now = self._world.clock.now()
        event = Event(
            id=f"told-{row.event_id}", type=events.OPERATION_REPORTED, source="roost/deployer",
            subject=command.customer or "fleet", time=now, data=told,
        )  # fmt: skip
        ledger.close_command(row.event_id, outcome=outcome, at=now, events=[event])

    def _act(self, command: Command, actor: str, reason: str, rollout: Rollout) -> str:
        world, seconds = self._world, (self._world.clock.now() - rollout.entered_at).total_seconds()
        if command is Command.APPROVE and rollout.phase is Phase.AWAITING_APPROVAL:
            rollout = rollout.model_copy(update={"approved_by": actor})
            generation = world.generation + 1
            rollout = world.move(
                rollout, Phase.PROMOTING, seconds, f"approved by {actor}: {reason}", actor=actor, load_generation=generation,
                approved_by=actor,
            )  # fmt: skip
            world.serve(rollout)
            rollout = world.move(
                rollout, Phase.LIVE, 0.4, f"version {rollout.version} answers on 3 of 3 nodes", skew_ms=5.1,
                flip_generation=world.generation,
            )  # fmt: skip
            return f"approved: {rollout.name} version {rollout.version} is LIVE"
        if command is Command.REJECT and rollout.phase is Phase.AWAITING_APPROVAL:
            world.move(rollout, Phase.CANCELLED, seconds, f"rejected by {actor}: {reason}", actor=actor)
            return f"rejected: {rollout.name} version {rollout.version} is CANCELLED"
        return f"refused: {command.value} does nothing to a rollout in {rollout.phase.value}"


def main() -> None:
    from deployer.console.main import serve
    from roost.settings import ConsoleSettings
    from roost.telemetry import logs

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--empty", action="store_true", help="nothing has happened yet")
    parser.add_argument("--node-down", action="store_true", help="default-2 does not answer")
    chosen = parser.parse_args()
    logs.configure("console", form="text")
    world = World.empty() if chosen.empty else build()
    if chosen.node_down:
        world.pool.faults("default-2").down = True
    stop = threading.Event()
    threading.Thread(target=SmallDeployer(world).run, args=(stop,), daemon=True).start()
    try:
        serve(world.sources, ConsoleSettings(port=chosen.port, url=f"http://127.0.0.1:{chosen.port}"), stop)
    except KeyboardInterrupt:
        stop.set()


if __name__ == "__main__":
    main()
