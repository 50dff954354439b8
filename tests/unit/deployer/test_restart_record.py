"""What the deployer tells of restarts, which are processes of minutes that nobody scrapes: read from their deploy events."""

from __future__ import annotations

from prometheus_client import REGISTRY

from deployer.restart.record import RestartRecord
from roost.contracts.cloudevents import Event
from roost.contracts.events import OPERATION_REPORTED, OperationReported
from roost.contracts.policy import RestartPolicy, RestartWhen
from tests.unit.deployer.world import World

ALWAYS = RestartPolicy(when=RestartWhen.ALWAYS)


def told(world: World, what: str, pool: str = "default") -> None:
    data = OperationReported(what=what, pool=pool, actor="restart", reason="r", facts={})
    event = Event(
        id=f"{pool}-{what}-{world.clock.now()}",
        type=OPERATION_REPORTED,
        source="t",
        subject=pool,
        time=world.clock.now(),
        data=data,
    )
    world.ledger.add_events([event])
    world.clock.advance(60)


def record(world: World, policy: RestartPolicy = ALWAYS) -> RestartRecord:
    return RestartRecord(world.ledger, world.clock, ("default", "canary"), lambda: policy)


def sample(name: str, pool: str = "default") -> float | None:
    return REGISTRY.get_sample_value(name, {"pool": pool})


def refused(pool: str = "default") -> float | None:
    return sample("roost_pool_restarts_refused_count", pool)


def age(pool: str = "default") -> float | None:
    return sample("roost_pool_restart_age_seconds", pool)


def test_refusals_are_counted_until_a_restart_is_finished(world: World) -> None:
    following = record(world)
    seen = []
    for what in ("restart.started", "restart.refused", "restart.started", "restart.refused", "restart.finished"):
        told(world, what)
        following.step()
        seen.append(refused())
    assert seen == [0, 1, 1, 2, 0]
    assert refused("canary") == 0


def test_a_deployer_that_starts_later_tells_the_same(world: World) -> None:
    told(world, "restart.finished")
    finished = world.clock.now()
    told(world, "restart.refused")
    world.deploy()
    record(world).step()
    assert refused() == 1
    assert age() == 60 + (world.clock.now() - finished).total_seconds()


def test_the_age_runs_from_the_last_restart_that_was_finished_and_else_from_the_deployers_start(world: World) -> None:
    following = record(world)
    world.clock.advance(1000)
    following.step()
    assert age() == 1000
    told(world, "restart.finished")
    world.clock.advance(40)
    following.step()
    assert (age(), age("canary")) == (100, 1100)


def test_where_only_those_are_restarted_that_need_it_no_restart_is_too_long_ago(world: World) -> None:
    following = record(world, RestartPolicy())
    world.clock.advance(90_000)
    following.step()
    assert age() == 0


def test_a_restart_of_a_pool_that_another_deployer_has_is_not_ours_to_tell(world: World) -> None:
    told(world, "restart.refused", "elsewhere")
    record(world).step()
    assert (refused(), refused("elsewhere")) == (0, None)
