"""The canary node is restarted, as its schedule has it, in the middle of a measurement: node, gateway and deployer are real."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from roost.adapters.kafka import open_admin
from roost.adapters.node_control import HttpNodeControl
from roost.contracts.events import Topic
from roost.contracts.ids import staging_prefix
from roost.contracts.manifest import GOLDEN_NAME, MANIFEST_NAME, ArtifactManifest
from roost.contracts.rollout import TERMINAL, Phase
from roost.ports.event_bus import TopicSpec
from roost.ports.object_store import ObjectStore
from roost.ports.serving import NodeAddress
from roost.settings import DatabaseSettings, KafkaSettings
from tests.integration.deployer.fleet import Fleet, eventually, received, stage
from tests.integration.model_server import built_models
from tests.integration.node import tiny_models
from tests.parts import gcs_server
from tests.unit.deployer.world import listing

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow, pytest.mark.long, pytest.mark.timeout(900)]

#: Recorded requests, asked one after the other, twice: seconds, of which a drain takes the first.
_REQUESTS = 1500


@pytest.fixture
def fleet(tmp_path: Path, database_settings: DatabaseSettings, fresh_broker: KafkaSettings) -> Iterator[Fleet]:
    open_admin(fresh_broker).ensure([TopicSpec(name=topic, partitions=1, retention_ms=-1) for topic in Topic])
    with gcs_server(tmp_path / "gcs", seconds=60) as storage:
        made = Fleet(tmp_path, storage, database_settings, fresh_broker)
        try:
            yield made
        finally:
            made.stop()


def with_many_requests(store: ObjectStore, manifest: ArtifactManifest) -> ArtifactManifest:
    """The same artifact, whose measurement takes its time."""
    prefix = staging_prefix(manifest.customer, manifest.model, manifest.run.run_id)
    content, stored = store.read(prefix + GOLDEN_NAME)
    many = b"\n".join([content.strip()] * _REQUESTS)
    store.write(prefix + GOLDEN_NAME, many, if_generation=stored.generation)
    others = [file for file in manifest.files if file.path != GOLDEN_NAME]
    files = tuple(sorted((*others, *listing({GOLDEN_NAME: many})), key=lambda file: file.path))
    changed = manifest.model_copy(update={"files": files})
    before = store.stat(prefix + MANIFEST_NAME)
    assert before is not None
    store.write(prefix + MANIFEST_NAME, changed.encoded(), if_generation=before.generation)
    return changed


def test_a_model_whose_measurement_is_cut_short_is_measured_again_and_goes_live(fleet: Fleet, tmp_path: Path) -> None:
    """It waited for a person: that the node had gone was taken for something about the model."""
    models = tmp_path / "models"
    built_models.copy_to(models, Path(tiny_models.__file__), ())
    fleet.start_nodes({"node-1": "default", "canary-1": "canary"})
    fleet.spawn("deployer", "deployer")
    staged = stage(fleet.store, models / "one", "cut-short", datetime.now(UTC) - timedelta(hours=1), 1.0)
    row = received(fleet.store, with_many_requests(fleet.store, staged), datetime.now(UTC))
    assert fleet.ledger.receive(row, event_id="cut-short", events=[])

    (canary,) = [one for one in fleet.addresses if one.pool == "canary"]
    control = HttpNodeControl(SecretStr("a-control-token"))
    eventually(lambda: measured(control, canary), lambda: fleet.log("deployer"), 300)
    control.restart(canary, deadline=30)
    ended = TERMINAL | {Phase.LIVE, Phase.AWAITING_APPROVAL}
    eventually(lambda: fleet.ledger.rollout(row.id).phase in ended, lambda: fleet.log("deployer"), 300)

    assert "is measured again" in (tmp_path / "deployer.log").read_text()
    assert control.state(canary, deadline=30).restarts == 1
    told = f"{fleet.ledger.rollout(row.id).reason}\n{fleet.log('deployer')}"
    assert [line.after for line in fleet.ledger.history(row.id)][-3:] == [Phase.CANARY, Phase.PROMOTING, Phase.LIVE], (
        told
    )
    assert fleet.answers() == [1.0]
    control.close()


def measured(control: HttpNodeControl, node: NodeAddress) -> bool:
    """Whether the candidate is being asked: the node itself asks only one request of it, to prove it."""
    model = control.state(node, deadline=30).model("ua.default")
    return model is not None and control.answered(node, "ua.default", deadline=30).total > 20
