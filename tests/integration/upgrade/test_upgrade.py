"""An upgrade as it happens: the schema first, then process by process, with the earlier release's own code beside this one's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.adapters.kafka import open_admin
from roost.ports.event_bus import topics
from roost.settings import DatabaseSettings, KafkaSettings
from tests.contract.airflow_stand_in import AirflowStandIn, served
from tests.integration.deployer.fleet import ROOT, Fleet
from tests.integration.node import tiny_models
from tests.integration.upgrade.earlier import code_before
from tests.integration.upgrade.side_by_side import Installation
from tests.parts import gcs_server

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow, pytest.mark.long, pytest.mark.timeout(1800)]

NEW = ROOT
SERVING = {"node-1": "default", "node-2": "default"}


@pytest.fixture
def installation(
    tmp_path: Path, database_settings: DatabaseSettings, fresh_broker: KafkaSettings
) -> Iterator[Installation]:
    """Real parts with the newest schema, which this release's migrations made; no process yet."""
    open_admin(fresh_broker).ensure(topics(partitions=1, replication=1))
    models, airflow = tmp_path / "models", AirflowStandIn()
    models.mkdir()
    subprocess.run([sys.executable, tiny_models.__file__, str(models)], check=True, capture_output=True)
    with gcs_server(tmp_path / "gcs") as storage, served(airflow) as url:
        fleet = Fleet(tmp_path, storage, database_settings, fresh_broker)
        fleet.environment |= {
            "ROOST_AIRFLOW__URL": url,
            "ROOST_AIRFLOW__USERNAME": "ann",
            "ROOST_AIRFLOW__PASSWORD": "secret",
            "ROOST_KAFKA__PARTITIONS": "1",
            "ROOST_CONSOLE__PORT": "0",
            "ROOST_DEPLOYER__LEASE_SECONDS": "30",
            "ROOST_KAFKA__SESSION_TIMEOUT_MS": "6000",
            "ROOST_KAFKA__HEARTBEAT_INTERVAL_MS": "1000",
        }
        made = Installation(fleet, fresh_broker, airflow, models)
        try:
            yield made
        finally:
            made.close()


def test_old_and_new_processes_bring_customers_live_beside_each_other(
    installation: Installation, tmp_path: Path
) -> None:
    old = code_before("v0005_traces", tmp_path / "earlier")

    # The schema is new already; every process is old.
    installation.nodes(SERVING | {"canary-1": "canary"}, old)
    installation.processes(signups=old, models=old, deployers=(old,))
    installation.is_live(installation.comes("one"))

    # As the page has it: the deployer first. For a while two share rows and leases; nodes and consumers follow.
    installation.processes(signups=old, models=old, deployers=(NEW,))
    installation.is_live(installation.comes("two"))
    installation.nodes({"node-1": "default"}, NEW)
    installation.processes(signups=NEW, models=old, deployers=(old, NEW))
    installation.consoles(console_old=old, console_new=NEW)
    people_look_and_decide(installation, old)
    installation.end("console_old", "console_new")

    # Back to the earlier deployer, while the models' consumer and the nodes are new.
    installation.nodes({"node-2": "default", "canary-1": "canary"}, NEW)
    installation.processes(signups=old, models=NEW, deployers=(old,))
    installation.is_live(installation.comes("two"))

    installation.processes(signups=NEW, models=NEW, deployers=(NEW,))
    installation.is_live(installation.comes("three"))
    installation.nothing_is_lost()


def people_look_and_decide(installation: Installation, old: Path) -> None:
    """Commands of one release ask the console of the other: freeze, look, promote, thaw.

    An approval after the thaw came too late on a busy machine: the deployer had let go by itself what had passed before.
    """
    installation.tells(old, "console_new", "freeze", reason="the upgrade")
    held = [installation.comes(kind) for kind in ("three", "one")]
    for customer in held:
        installation.waits(customer)
    for code, console in ((old, "console_new"), (NEW, "console_old")):
        waiting = json.loads(installation.roost(code, console, "rollouts", "--phase", "AWAITING_APPROVAL", "--json"))
        assert {row["customer"] for row in waiting["items"]} == set(held)
        assert "the upgrade" in installation.roost(code, console, "why", held[0])
        # From the database, whose schema is the newer one.
        assert held[0] in installation.roost(code, console, "customers", "--json")
    installation.tells(old, "console_new", "promote", held[0], reason="fine")
    installation.tells(NEW, "console_old", "promote", held[1], reason="fine")
    installation.tells(NEW, "console_old", "thaw", reason="looked at")
    for customer in held:
        installation.is_live(customer)
