"""A real Prometheus scrapes every process of the stack, as an installation would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roost.dashboards.fleet import FLEET_BOARD
from roost.dashboards.pipeline import PIPELINE_BOARD
from roost.telemetry.catalogue import catalogue, series
from tests.e2e.world import World
from tests.prometheus import eventually, program, scraping

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow, pytest.mark.timeout(600)]

#: What each process must have said once a customer is answered: a query, and by which job.
SAID = {
    'roost_node_ready{job=~"roost-node-.*"} == 1': {"roost-node-1", "roost-node-2", "roost-node-3"},
    "roost_gateway_answers_total > 0": {"roost-node-1", "roost-node-2", "roost-node-3"},
    'roost_node_versions_count{state="proven", job=~"roost-node-.*"} > 0': {
        *("roost-node-1", "roost-node-2", "roost-node-3"),
    },
    'roost_pool_nodes_answering_count{pool="default"} == 3': {"roost-deployer"},
    'roost_pool_nodes_behind_count{pool="default"} == 0': {"roost-deployer"},
    "roost_outbox_pending_events == 0": {"roost-deployer"},
    'sum by (job) (roost_consumer_lag_events{topic="customers"}) == 0': {"roost-signup-consumer"},
    'sum by (job) (roost_consumer_lag_events{topic="models.ready"}) == 0': {"roost-model-consumer"},
}


def test_each_process_is_scraped_and_shows_the_catalogue_and_every_rule_and_panel_evaluates(
    world: World, tmp_path: Path
) -> None:
    program("prometheus")
    live = world.signed_up("ha")
    assert world.until("every replica answers", lambda: world.answers_everywhere("ha", live.version), 180)
    jobs = addresses(world)
    with scraping(tmp_path, jobs) as prometheus:
        up = "each process is scraped"
        eventually(up, lambda: {one["metric"]["job"] for one in prometheus.ask("up == 1")} == jobs.keys())
        known = {one.name: (one.kind, one.meaning) for one in catalogue()}
        for job in jobs:
            assert prometheus.families(job) == known, job
        assert prometheus.names() <= series()
        for query, by in SAID.items():

            def said(query: str = query, by: set[str] = by) -> bool:
                return {one["metric"]["job"] for one in prometheus.ask(query)} - {"roost-canary-1"} >= by

            eventually(query, said)
        assert {rule["health"] for rule in prometheus.evaluated()} == {"ok"}
        for query in [
            query for board in (FLEET_BOARD, PIPELINE_BOARD) for panel in board.panels for query, _ in panel.queries
        ]:
            prometheus.ask(query)


def addresses(world: World) -> dict[str, list[str]]:
    """Where each process of ours shows its metrics: on its web server, its health port or its control port."""
    parts = {part["name"]: part for part in json.loads(world.run("status", "--json", check=False))["parts"]}
    services = ("deployer", "signup-consumer", "model-consumer", "console")
    found = {f"roost-{name}": [parts[name]["address"].removeprefix("http://")] for name in services}
    nodes = json.loads((world.state / "nodes.json").read_text())["nodes"]
    return found | {f"roost-{node['node']}": [node["control"]] for node in nodes}
