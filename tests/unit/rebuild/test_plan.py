"""A ledger made again where the log's end, or its beginning, is lost: what serves decides, and what nobody knows is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from consumers import dead_letters, models, signups
from consumers.models import Place
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.cloudevents import Event
from roost.contracts.events import (
    CUSTOMER_OFFBOARDED,
    CUSTOMER_SIGNED_UP,
    DEPLOY_COMMAND,
    MODEL_READY,
    OPERATION_REPORTED,
    Command,
    CustomerOffboarded,
    CustomerSignedUp,
    DeployCommand,
    ModelReady,
    OperationReported,
    Payload,
    RolloutChanged,
    Topic,
)
from roost.contracts.ids import rollout_id, staging_prefix
from roost.contracts.policy import Policy
from roost.contracts.rollout import PREVIOUS_UNKNOWN, Phase
from roost.ports.event_bus import TopicSpec
from roost.ports.ledger import Onboarding, OnboardingStage
from roost.rebuild.plan import Plan, Remains, planned, reported
from roost.rebuild.rollouts import ACTOR
from tests.unit.deployer.world import World

PLACE = Place(bucket="in-memory", pool="default")
Wanted = Callable[[RolloutChanged], bool]


class Lost:
    """A world whose ledger is lost; what Kafka has of it is chosen by the test."""

    def __init__(self, world: World) -> None:
        self.world, self.bus, self.count = world, InMemoryBus(world.clock), 0
        self.bus.ensure([TopicSpec(name=topic, partitions=2, retention_ms=-1) for topic in Topic])

    def publish(self, kind: str, payload: Payload, subject: str) -> Event:
        self.count += 1
        event = Event(
            id=f"e{self.count}", type=kind, source="test", subject=subject, time=self.world.clock.now(), data=payload
        )
        self.bus.publisher().publish(event)
        return event

    def relay(self, wanted: Wanted = lambda _: True) -> None:
        """Publish what the outbox holds, but for transitions that are not wanted: those were lost with it."""
        for row in self.world.ledger.unpublished(9999):
            if not isinstance(row.event.data, RolloutChanged) or wanted(row.event.data):
                self.bus.publisher().publish(row.event)
            self.world.ledger.mark_published([row.sequence])

    def plan(self) -> Plan:
        return planned(
            Remains(
                store=self.world.store,
                reader=self.bus,
                policy=Policy(),
                place=PLACE,
                canary_pool="canary",
                clock=self.world.clock,
            ),
            lambda _: None,
        )

    def again(self) -> World:
        """A deployer over the ledger that was made again."""
        ledger = InMemoryLedger(self.world.clock)
        ledger.fill(reported(self.plan(), self.world.clock).contents)
        return World(Policy(), store=self.world.store, ledger=ledger, clock=self.world.clock)


@pytest.fixture
def lost(world: World) -> Lost:
    return Lost(world)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.threads.shutdown()


def two_versions(world: World) -> None:
    world.deploy(run="r1")
    world.later(3600)
    world.run()
    world.deploy(run="r2")


def stable(world: World) -> int | None:
    entry = world.desired().model("ua.default")
    return entry.stable if entry else None


def test_what_answers_is_live_though_the_log_ends_before_its_flip(world: World, lost: Lost) -> None:
    two_versions(world)
    lost.relay(lambda one: not (one.rollout_id == "ua-r2" and one.after in {Phase.PROMOTING, Phase.LIVE}))
    before = world.desired()
    again = lost.again()
    row = again.rollout("ua-r2")
    assert (row.phase, row.version, row.previous_version) == (Phase.LIVE, 2, 1)
    assert [line.actor for line in again.ledger.history("ua-r2")][-1] == ACTOR
    untold = [one.event.data for one in again.ledger.unpublished(9)]
    assert [one.after for one in untold if isinstance(one, RolloutChanged)] == [Phase.LIVE]
    again.run()
    assert world.desired() == before
    assert "returns to version 1" in again.command(Command.ROLLBACK, customer="ua")
    again.run()
    assert stable(world) == 1


def test_a_rollback_of_which_the_log_knows_nothing_is_not_undone(world: World, lost: Lost) -> None:
    two_versions(world)
    lost.relay()
    world.command(Command.ROLLBACK, customer="ua")
    world.run()
    again = lost.again()
    assert again.rollout("ua-r2").phase is Phase.ROLLED_BACK
    live = again.ledger.live("ua", "default")
    assert live is not None
    assert live.version == 1
    again.run()
    assert stable(world) == 1


def test_a_newer_version_of_which_the_log_knows_nothing_settles_the_one_before(world: World, lost: Lost) -> None:
    world.deploy(run="r1")
    lost.relay()
    world.later(3600)
    world.run()
    world.deploy(run="r2")
    lost.relay(lambda _: False)
    again = lost.again()
    phases = {row.version: row.phase for row in (again.rollout("ua-r1"), again.rollout("ua-r2"))}
    assert phases == {1: Phase.SETTLED, 2: Phase.LIVE}
    again.deploy(run="r3")
    assert again.rollout("ua-r3").version == 3


@pytest.mark.parametrize("bakes", [True, False])
def test_where_the_log_is_gone_what_serves_is_known_by_what_is_stored(world: World, lost: Lost, bakes: bool) -> None:
    two_versions(world)
    if not bakes:
        world.later(3600)
        world.run()
    before = world.desired()
    plan = lost.plan()
    assert any("the log does not reach back to it" in one for one in plan.findings)
    again = lost.again()
    row = again.rollout("ua-r2")
    assert row.run_id == "r2"
    assert row.phase is (Phase.LIVE if bakes else Phase.SETTLED)
    assert [one.customer for one in again.ledger.customers()] == ["ua"]
    outcome = again.command(Command.ROLLBACK, customer="ua")
    if bakes:
        assert "returns to version 1" in outcome
        return
    assert row.facts[PREVIOUS_UNKNOWN]
    assert "has nothing known before it" in outcome
    again.run()
    assert world.desired() == before


def test_one_on_its_way_that_no_pool_lists_asks_a_person(world: World, lost: Lost) -> None:
    two_versions(world)
    world.command(Command.ROLLBACK, customer="ua")
    world.run()
    lost.relay(lambda one: not (one.rollout_id == "ua-r2" and one.sequence > 5))
    again = lost.again()
    assert again.rollout("ua-r2").phase is Phase.HALTED
    again.run()
    assert stable(world) == 1


def test_what_people_hold_stands_and_what_they_let_go_does_not(world: World, lost: Lost) -> None:
    def ask(command: Command, **target: object) -> None:
        asked = DeployCommand.model_validate({"command": command, "actor": "ann", "reason": "because", **target})
        event = lost.publish(DEPLOY_COMMAND, asked, asked.customer or "fleet")
        models.command_handler(world.ledger, world.clock)(event)
        world.run()
        world.later(1)

    two_versions(world)
    ask(Command.FREEZE)
    ask(Command.PAUSE, customer="dl")
    ask(Command.FREEZE, customer="fleet")
    ask(Command.THAW)
    ask(Command.ROLLBACK, customer="ua")
    digest = world.rollout("ua-r2").digest
    assert world.ledger.quarantined(digest)
    lost.relay()
    held = lost.plan().contents
    assert [one.scope for one in held.freezes] == ["paused:dl", "customer:fleet"]
    assert [one.digest for one in held.quarantines] == [digest]
    assert held.thawed == {"fleet"}
    ask(Command.RELEASE, digest=digest)
    lost.relay()
    unheard = DeployCommand(command=Command.ROLLBACK, actor="bob", reason="hurry", customer="ua")
    lost.publish(DEPLOY_COMMAND, unheard, "ua")
    plan = lost.plan()
    assert (plan.contents.quarantines, plan.contents.released) == ((), {digest})
    assert [one.command.actor for one in plan.unanswered] == ["bob"]
    assert lost.again().ledger.open_commands(9) == []


def told(lost: Lost, what: str, customer: str, *, event_id: str, **facts: object) -> None:
    data = OperationReported(what=what, customer=customer, actor="signup-consumer", reason="so it is", facts=facts)
    lost.count += 1
    event = Event(
        id=event_id,
        type=OPERATION_REPORTED,
        source="roost/signup-consumer",
        subject=customer,
        time=lost.world.clock.now(),
        data=data,
    )
    lost.bus.publisher().publish(event)


def test_customers_stand_where_their_events_and_their_training_left_them(world: World, lost: Lost) -> None:
    for customer in ("ua", "new", "sad", "gone", "left"):
        lost.publish(CUSTOMER_SIGNED_UP, CustomerSignedUp(customer=customer, name=customer.upper()), customer)
    handler = signups.handler(world.ledger, world.clock)
    for delivery in lost.bus.read(Topic.CUSTOMERS):
        from consumers.loop import opened

        handler(opened(delivery))
    runs: dict[str, Onboarding] = {row.customer: row for row in world.ledger.customers()}
    world.later(60)
    world.deploy("ua", "r1")
    for customer in ("gone", "left"):
        lost.publish(CUSTOMER_OFFBOARDED, CustomerOffboarded(customer=customer), customer)
    event = next(one for one in lost.plan().contents.onboardings if one.customer == "gone").event_id
    told(lost, "customer.gone", "gone", event_id=signups.run_id("customer.gone", "gone", event))
    told(lost, "customer.training.failed", "sad", event_id="f1", run_id=runs["sad"].airflow_run_id)
    lost.relay()
    stages = {row.customer: row.stage for row in lost.plan().contents.onboardings}
    assert stages == {
        "ua": OnboardingStage.TRAINED,
        "new": OnboardingStage.SIGNED_UP,
        "sad": OnboardingStage.FAILED,
        "gone": OnboardingStage.GONE,
        "left": OnboardingStage.LEAVING,
    }


def test_an_announcement_that_nobody_told_of_is_received_and_a_dead_letter_is_not(world: World, lost: Lost) -> None:
    digests = []
    for run in ("fine", "buried"):
        manifest = world.stage("ua", run)
        digests.append(manifest.digest)
        ready = ModelReady(
            customer="ua",
            artifact_uri=world.store.uri(staging_prefix("ua", "default", run)),
            artifact_digest=manifest.digest,
            run_id=run,
            trained_at=manifest.run.trained_at,
            data_window=manifest.run.data_window,
            code_version="test",
        )
        lost.publish(MODEL_READY, ready, "ua")
    bad = next(one for one in lost.bus.read(Topic.MODELS_READY) if b"buried" in (one.value or b""))
    lost.bus.publisher().send(Topic.DEAD_LETTERS, dead_letters.wrap(bad, "no customer", at=world.clock.now()))
    place = Place(bucket=world.store.uri("").removeprefix("gs://").rstrip("/"), pool="default")
    remains = Remains(
        store=world.store, reader=lost.bus, policy=Policy(), place=place, canary_pool="canary", clock=world.clock
    )
    contents = planned(remains, lambda _: None).contents
    assert [one.rollout.id for one in contents.rollouts] == [rollout_id("ua", "default", digests[0])]
    assert [one.kind for one in contents.inbox] == ["models.ready"]
    assert len(contents.untold) == 1
