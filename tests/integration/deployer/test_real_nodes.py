"""The deployer's process with real nodes, model servers, gateways, store, database and broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from roost.adapters.kafka import open_admin
from roost.contracts.events import Command, DeployCommand, Topic
from roost.contracts.rollout import Phase
from roost.ports.event_bus import TopicSpec
from roost.ports.ledger import RolloutQuery
from roost.settings import DatabaseSettings, KafkaSettings
from tests.integration.deployer.fleet import Fleet, eventually, received, stage
from tests.integration.model_server import built_models
from tests.integration.node import tiny_models
from tests.parts import gcs_server

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow, pytest.mark.timeout(600)]
NODES = {"node-1": "default", "node-2": "default", "canary-1": "canary"}


@pytest.fixture
def fleet(tmp_path: Path, database_settings: DatabaseSettings, fresh_broker: KafkaSettings) -> Iterator[Fleet]:
    open_admin(fresh_broker).ensure([TopicSpec(name=topic, partitions=1, retention_ms=-1) for topic in Topic])
    with gcs_server(tmp_path / "gcs") as storage:
        made = Fleet(tmp_path, storage, database_settings, fresh_broker)
        try:
            yield made
        finally:
            made.stop()


class Story:
    """The steps of the test, with their waits."""

    def __init__(self, fleet: Fleet, models: Path) -> None:
        self.fleet, self.models = fleet, models
        self.store = fleet.store
        self.ledger = fleet.ledger
        self.trained_at = datetime.now(UTC) - timedelta(hours=1)

    def announce(self, kind: str, factor: float) -> str:
        self.trained_at += timedelta(minutes=1)
        run = f"{kind}-{uuid.uuid4().hex[:6]}"
        manifest = stage(self.store, self.models / kind, run, self.trained_at, factor)
        row = received(self.store, manifest, datetime.now(UTC))
        assert self.ledger.receive(row, event_id=run, events=[])
        return row.id

    def until(self, rollout_id: str, *phases: Phase) -> float:
        def told() -> str:
            lines = [f"{one.after}: {one.reason}" for one in self.ledger.history(rollout_id)]
            return "\n".join([*lines, self.fleet.log("deployer")])

        return eventually(lambda: self.ledger.rollout(rollout_id).phase in phases, told)

    def tell(self, rollout_id: str) -> None:
        before = None
        for line in self.ledger.history(rollout_id):
            took = (line.at - before).total_seconds() if before else 0.0
            print(f"{took:8.3f} s  {line.after:18} {line.reason}  {line.facts}")
            before = line.at


@pytest.mark.long
def test_models_go_live_on_real_nodes_and_back_whatever_is_killed(fleet: Fleet, tmp_path: Path) -> None:
    models = tmp_path / "models"
    built_models.copy_to(models, Path(tiny_models.__file__), ())
    fleet.start_nodes(NODES)
    fleet.spawn("deployer", "deployer")
    story = Story(fleet, models)

    first = story.announce("one", 1.0)
    story.until(first, Phase.LIVE)
    story.tell(first)
    assert fleet.answers() == [1.0, 1.0]

    second = story.announce("two", 2.0)
    story.until(second, Phase.CANARY, Phase.PROMOTING, Phase.LIVE)
    fleet.processes["deployer"].kill()
    fleet.processes["deployer"].wait()
    assert fleet.answers() in ([1.0, 1.0], [2.0, 2.0])
    fleet.spawn("deployer", "deployer")
    story.until(second, Phase.LIVE)
    story.tell(second)
    assert fleet.answers() == [2.0, 2.0]

    broken = story.announce("nan", float("nan"))
    story.until(broken, Phase.REJECTED)
    assert story.ledger.rollout(broken).reason.startswith("sanity: Output 'y' answers NaN")
    assert fleet.answers() == [2.0, 2.0]

    story.ledger.submit(
        "rollback-1",
        DeployCommand(command=Command.ROLLBACK, actor="ann", reason="too high", rollout_id=second),
        at=datetime.now(UTC),
    )
    flipped = eventually(lambda: fleet.answers() == [1.0, 1.0], lambda: fleet.log("deployer"))
    story.until(second, Phase.ROLLED_BACK, Phase.HALTED)
    story.tell(second)
    print("rollback:", flipped, [row.outcome for row in story.ledger.commands(1)])
    assert story.ledger.rollout(second).phase is Phase.ROLLED_BACK

    restart = fleet.spawn("restart", "restart", "--pool", "default", "--always", "--reason", "test")
    assert restart.wait(240) == 0, fleet.log("restart")
    assert fleet.answers() == [1.0, 1.0]
    assert {row.phase for row in story.ledger.rollouts(RolloutQuery())} <= {
        Phase.LIVE,
        Phase.SETTLED,
        Phase.ROLLED_BACK,
        Phase.REJECTED,
    }
