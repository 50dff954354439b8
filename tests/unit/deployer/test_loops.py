"""Loops, leases, relay and rate: what keeps the deployer going, and what ends it."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import REGISTRY

from deployer.promotion.bucket import TokenBucket
from deployer.rollout.census import Census
from deployer.rollout.loop import Bell, Lease, Loop, Threads, listen
from deployer.rollout.relay import Relay
from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.event_bus import InMemoryBus
from roost.adapters.in_memory.ledger import InMemoryLedger
from roost.contracts.cloudevents import decode
from roost.contracts.errors import BrokerUnavailable, Conflict, DatabaseUnavailable
from roost.contracts.events import Topic
from roost.contracts.rollout import Phase
from roost.ports.event_bus import TopicSpec
from tests.unit.deployer.world import World


class Script:
    """A step that does what it is told, once each, and then stops the loop."""

    def __init__(self, *turns: object) -> None:
        self.turns = list(turns)
        self.stop = threading.Event()
        self.taken = 0

    def __call__(self) -> float | None:
        self.taken += 1
        turn = self.turns.pop(0)
        if not self.turns:
            self.stop.set()
        if isinstance(turn, BaseException):
            raise turn
        assert turn is None or isinstance(turn, float)
        return turn


def test_a_loop_goes_on_after_an_outage_and_a_lost_race_and_shows_its_trouble() -> None:
    seen: list[str | None] = []
    script = Script(0.0, DatabaseUnavailable("away"), Conflict("first"), 0.0)
    loop = Loop("l", script, Bell(), ManualClock(), idle=0.01)
    original = script.__call__

    def step() -> float | None:
        seen.append(loop.trouble)
        return original()

    loop._step = step
    loop.run(script.stop)
    assert seen == [None, None, "away", "away"]
    assert loop.trouble is None


def test_an_outage_is_told_once_and_waited_for_ever_longer(caplog: pytest.LogCaptureFixture) -> None:
    away = DatabaseUnavailable("away")
    loop = Loop("l", Script(*[away] * 7), Bell(), ManualClock(), idle=0.01)
    with caplog.at_level("WARNING"):
        pauses = [loop._once() for _ in range(7)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert [record.message for record in caplog.records] == ["l waits: away"]


def test_loops_that_are_told_to_stop_end_quietly() -> None:
    stop, bell = threading.Event(), Bell()
    threads = Threads([Loop("l", stop.set, bell, ManualClock(), idle=30)])
    threads.run(stop, bell.ring)
    assert threads.troubles() == {"l": None}


def test_a_bug_in_one_loop_stops_all_and_is_raised() -> None:
    stop = threading.Event()
    bells = [Bell(), Bell()]
    broken = Loop("broken", Script(ValueError("a bug")), bells[0], ManualClock(), idle=5)
    waiting = Loop("waiting", lambda: None, bells[1], ManualClock(), idle=30)
    threads = Threads([broken, waiting])
    with pytest.raises(ValueError, match="a bug"):
        threads.run(stop, lambda: [bell.ring() for bell in bells])
    assert threads.troubles() == {"broken": None, "waiting": None}


def test_only_the_holder_of_a_lease_works_and_gaining_it_is_told_once() -> None:
    clock = ManualClock()
    ledger = InMemoryLedger(clock)
    gained: list[str] = []

    def loop(owner: str) -> Loop:
        lease = Lease(leases=ledger, name="n", owner=owner, seconds=30, gained=lambda: gained.append(owner))
        return Loop(owner, lambda: 7.0, Bell(), clock, idle=5, lease=lease)

    first, second = loop("first"), loop("second")
    assert (first._once(), second._once()) == (7.0, 10.0)
    clock.advance(11)
    assert (first._once(), second._once()) == (7.0, 10.0)
    assert gained == ["first"]
    clock.advance(31)
    assert second._once() == 7.0
    assert first._once() == 10.0
    clock.advance(31)
    assert first._once() == 7.0
    assert gained == ["first", "second", "first"]
    first._let_go()
    assert second._once() == 7.0


def test_a_lease_that_cannot_be_given_back_is_left_to_expire() -> None:
    class Away(InMemoryLedger):
        def drop(self, name: str, *, owner: str) -> None:
            raise DatabaseUnavailable("away")

    clock = ManualClock()
    script = Script(0.0)
    lease = Lease(leases=Away(clock), name="n", owner="o", seconds=30)
    Loop("l", script, Bell(), clock, idle=0.01, lease=lease).run(script.stop)
    assert script.taken == 1


def test_a_notification_rings_the_bells_of_its_channel() -> None:
    ledger = InMemoryLedger(ManualClock())
    hears, deaf = Bell(), Bell()
    step = listen(ledger.wakeups(), {"commands": [hears], "outbox": [deaf]})
    step()  # what came before the first wait is unknown, so that one tells of everything
    hears.wait(0)
    deaf.wait(0)
    ledger._state.wake("commands")
    ledger._state.wake("unheard")
    assert step() == 0.0
    assert hears._event.is_set()
    assert not deaf._event.is_set()


def test_a_lost_listener_rings_every_bell() -> None:
    class Lost:
        def wait(self, seconds: float) -> frozenset[str]:
            raise DatabaseUnavailable("gone")

        def close(self) -> None:
            return

    bell = Bell()
    with pytest.raises(DatabaseUnavailable):
        listen(Lost(), {"rollouts": [bell]})()
    assert bell._event.is_set()


def test_the_relay_publishes_in_order_and_survives_a_broker_that_is_away(world: World) -> None:
    bus = InMemoryBus(world.clock)
    bus.ensure([TopicSpec(name=Topic.DEPLOY_EVENTS, partitions=1, retention_ms=-1)])
    relay = Relay(world.parts, bus.publisher())
    rollout_id = world.deploy()
    bus.reachable = False
    with pytest.raises(BrokerUnavailable):
        relay.step()
    bus.reachable = True
    relay.step()
    assert relay.step() is False
    told = [decode(one.value, one.headers) for one in bus.read(Topic.DEPLOY_EVENTS)]
    expected = [line.after for line in world.ledger.history(rollout_id)[1:]]
    assert [event.data.model_dump()["after"] for event in told] == expected
    assert len({event.id for event in told}) == len(told)


def test_a_bucket_lets_a_burst_of_two_through_and_then_one_per_interval() -> None:
    clock = ManualClock()
    bucket = TokenBucket(clock, 1.0)
    bucket.take()
    assert bucket.wait_seconds() == 0.0
    bucket.take()
    assert bucket.wait_seconds() == pytest.approx(1.0)
    assert bucket.wait_seconds(2.0) == pytest.approx(2.0)
    clock.advance(bucket.wait_seconds())
    assert bucket.wait_seconds() == 0.0
    assert TokenBucket(clock, 0.0).wait_seconds(2.0) == 0.0


def test_the_census_counts_every_open_phase_and_no_end(world: World) -> None:
    world.deploy("aa")
    world.receive(world.stage("bb"))
    counts = Census(world.parts).step()
    assert (counts[Phase.LIVE], counts[Phase.RECEIVED], counts[Phase.HALTED]) == (1, 1, 0)
    assert Phase.SETTLED not in counts


def test_the_census_counts_all_events_that_wait_for_the_broker(world: World) -> None:
    reports = [world.parts.operation("test", "because", key=str(number)) for number in range(450)]
    world.ledger.add_events(reports)
    Census(world.parts).step()
    assert REGISTRY.get_sample_value("roost_outbox_pending_events") == 450
