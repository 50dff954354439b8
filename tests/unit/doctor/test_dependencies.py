"""What the doctor says of each dependency, on the shipped fakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from roost.adapters.in_memory.clock import ManualClock
from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.adapters.in_memory.serving import InMemoryPool
from roost.contracts.desired import DesiredState
from roost.contracts.errors import BrokerUnavailable, NotFound, SettingsInvalid, StorageUnavailable
from roost.contracts.ids import desired_object
from roost.doctor import dependencies
from roost.doctor.findings import Check, Finding, Level
from roost.doctor.wiring import checks, chosen, examine
from roost.ports.event_bus import TOPICS, topics
from roost.settings import Settings

THERE = {spec.name.value: spec for spec in TOPICS}


def levels(found: Any) -> list[Level]:
    return [one.level for one in found]


class ReadOnly(InMemoryObjectStore):
    """As an account that may not write."""

    def write(self, *_: Any, **__: Any) -> Any:
        raise StorageUnavailable("the store refuses this account (403)")


@pytest.mark.parametrize(
    ("found", "newest", "level", "remedy"),
    [
        ("0002", "0002", Level.WELL, ""),
        (None, "0002", Level.WRONG, "roost database migrate"),
        ("0001", "0002", Level.WRONG, "roost database migrate"),
        ("0003", "0002", Level.DOUBTFUL, "finish the upgrade"),
    ],
)
def test_a_schema_that_is_not_the_newest_is_migrated_or_waited_for(
    found: str | None, newest: str, level: Level, remedy: str
) -> None:
    (finding,) = dependencies.schema(found, newest)
    assert finding.level is level
    assert remedy in finding.remedy


def test_topics_as_specified_are_well_and_those_kept_for_ever_too() -> None:
    assert levels(dependencies.topics(TOPICS, THERE)) == [Level.WELL]
    forever = {name: replace(spec, retention_ms=-1) for name, spec in THERE.items()}
    assert levels(dependencies.topics(TOPICS, forever)) == [Level.WELL]


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"partitions": 3}, Level.DOUBTFUL, "has 3 partitions"),
        ({"partitions": 12}, Level.DOUBTFUL, "has 12 partitions"),
        ({"replication": 0}, Level.WRONG, "has 0 replicas"),
        ({"retention_ms": 86_400_000}, Level.WRONG, "keeps events for 1 days, not 30"),
    ],
)
def test_a_topic_that_is_otherwise_is_named(change: dict[str, int], level: Level, said: str) -> None:
    there = THERE | {"customers": replace(THERE["customers"], **change)}
    (finding,) = dependencies.topics(TOPICS, there)
    assert finding.level is level
    assert said in finding.said
    assert finding.remedy


def test_a_topic_that_takes_what_one_broker_alone_has_is_named() -> None:
    wanted = topics(partitions=6, replication=3)
    there = {spec.name.value: replace(spec, min_in_sync=1) for spec in wanted}
    found = dependencies.topics(wanted, there)
    assert levels(found) == [Level.WRONG] * len(wanted)
    assert "1 of 3 replicas" in found[0].said
    fewer = {name: replace(spec, replication=1) for name, spec in there.items()}
    assert not [one for one in dependencies.topics(wanted, fewer) if "may be lost" in one.said]


def test_a_topic_that_is_missing_is_named_with_the_command_that_makes_it() -> None:
    (finding,) = dependencies.topics(TOPICS, {name: spec for name, spec in THERE.items() if name != "dead.letters"})
    assert (finding.level, finding.remedy) == (Level.WRONG, "run `roost topics ensure`")
    assert "dead.letters" in finding.said


def test_a_probe_writes_an_object_and_leaves_none() -> None:
    store, clock = InMemoryObjectStore(), ManualClock()
    assert set(levels(dependencies.storage(store, ["default"], probe=False, clock=clock))) == {Level.WELL}
    dependencies.storage(store, ["default"], probe=True, clock=clock)
    assert list(store.list("")) == []


def test_an_account_that_may_not_write_is_told_so_by_the_probe_only() -> None:
    assert levels(dependencies.storage(ReadOnly(), ["default"], probe=False, clock=ManualClock())) == [Level.WELL]
    found = dependencies.storage(ReadOnly(), ["default"], probe=True, clock=ManualClock())
    assert levels(found) == [Level.WELL, Level.WRONG]
    assert "403" in found[1].said


@pytest.mark.parametrize(
    ("error", "level", "said"),
    [
        (NotFound("gs://nowhere does not exist"), Level.WRONG, "the bucket does not exist"),
        (StorageUnavailable("refuses this account (403)"), Level.DOUBTFUL, "cannot be told"),
    ],
)
def test_a_bucket_that_is_not_there_is_told_from_an_object_that_is_not(
    error: Exception, level: Level, said: str
) -> None:
    class Elsewhere(InMemoryObjectStore):
        def list(self, prefix: str) -> Any:
            raise error

    (finding,) = dependencies.storage(Elsewhere(), ["default"], probe=False, clock=ManualClock())
    assert finding.level is level
    assert said in finding.said


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, Level.WELL), (-9, Level.WELL), (11, Level.WRONG), (-3600, Level.WRONG)]
)
def test_clocks_may_differ_by_seconds_only(ahead: float, level: Level) -> None:
    clock = ManualClock()
    date = clock.now() - timedelta(seconds=ahead)
    (finding,) = dependencies.clock_against("the object store", lambda: date, clock)
    assert finding.level is level


class TestNodes:
    def pool(self, *, nodes: int = 2) -> tuple[InMemoryPool, InMemoryObjectStore]:
        store = InMemoryObjectStore()
        return InMemoryPool(store, ManualClock(), nodes=nodes), store

    def test_a_pool_that_serves_the_desired_generation_is_well(self) -> None:
        pool, store = self.pool()
        assert levels(dependencies.nodes(pool, pool, store, "default")) == [Level.WELL]

    def test_a_pool_without_a_node_is_wrong(self) -> None:
        pool, store = self.pool(nodes=0)
        (finding,) = dependencies.nodes(pool, pool, store, "default")
        assert (finding.level, finding.said) == (Level.WRONG, "it has no node")

    def test_each_node_that_is_down_behind_or_drains_is_named(self) -> None:
        pool, store = self.pool(nodes=4)
        pool.faults("default-1").down = True
        pool.faults("default-2").hangs = True
        state = DesiredState.empty("default").model_copy(update={"generation": 3})
        store.write(desired_object("default"), state.encoded(), if_generation=0)
        pool.poll()
        pool.drain(pool.nodes("default")[2], deadline=1)
        found = dependencies.nodes(pool, pool, store, "default")
        assert levels(found) == [Level.WRONG, Level.DOUBTFUL, Level.DOUBTFUL]
        for name, finding in zip(("default-1", "default-2", "default-3"), found, strict=True):
            assert name in finding.said


def test_a_dependency_that_is_away_is_a_finding_and_hides_no_other() -> None:
    def away() -> list[Finding]:
        raise BrokerUnavailable("Kafka at k:9092 does not answer")

    fine = Check(about="policy", look=lambda: dependencies.schema("1", "1"), remedy="")
    found = examine([Check(about="kafka", look=away, remedy="is the broker up?"), fine])
    assert levels(found) == [Level.WRONG, Level.WELL]
    assert (found[0].about, found[0].said, found[0].remedy) == (
        "kafka",
        "Kafka at k:9092 does not answer",
        "is the broker up?",
    )


def test_what_a_process_does_not_need_is_left_out_and_a_name_that_there_is_not_is_refused() -> None:
    every = checks(Settings(), probe=False)
    left = [check.about for check in chosen(every, ["airflow", "pools"])]
    assert left == ["settings", "policy", "database", "kafka", "storage", "bucket", "clock", "tracing"]
    with pytest.raises(SettingsInvalid, match="there is no check kafak; there are settings, policy"):
        chosen(every, ["kafak"])
