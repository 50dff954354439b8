"""The rules and a scrape, by Prometheus' own programs. Where they are not installed these tests say so and are skipped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from roost.dashboards.customer import CUSTOMER_BOARD
from roost.dashboards.fleet import FLEET_BOARD
from roost.dashboards.panels import Dashboard
from roost.dashboards.pipeline import PIPELINE_BOARD
from roost.telemetry.catalogue import FOREIGN, catalogue, series
from tests.parts import free_port
from tests.prometheus import ALERTS, Prometheus, eventually, program, scraping

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_the_rules_are_valid_and_each_alert_fires_and_stays_silent_as_it_should() -> None:
    promtool = program("promtool")
    files = sorted(map(str, ALERTS.glob("*.rules.yaml")))
    checked = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tests = sorted(map(str, (ALERTS / "tests").glob("*.test.yaml")))
    tested = subprocess.run([promtool, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with Roost's rules, scraping a process that shows every metric, and one that is not there."""
    program("prometheus")
    command = [sys.executable, "-m", "tests.integration.observability.every_metric"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        jobs = {"roost-deployer": [address], "roost-console": [f"127.0.0.1:{free_port()}"]}
        with scraping(tmp_path_factory.mktemp("prometheus"), jobs) as found:
            yield found


def test_a_scrape_shows_every_series_of_the_catalogue_and_nothing_else_of_ours(prometheus: Prometheus) -> None:
    ours = series() - FOREIGN.keys()
    eventually("each series is there", lambda: prometheus.names() >= ours)
    assert prometheus.names() == ours
    assert prometheus.ask("up")
    assert prometheus.families("roost-deployer") == {one.name: (one.kind, one.meaning) for one in catalogue()}


def test_every_rule_evaluates_and_each_recording_gives_a_number(prometheus: Prometheus) -> None:
    rules = prometheus.evaluated()
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
    assert len(recorded) == 8
    eventually("each has a number", lambda: all(prometheus.ask(name) for name in recorded))
    assert {float(prometheus.ask(name)[0]["value"][1]) for name in recorded} == {0.0}


@pytest.mark.parametrize("board", [FLEET_BOARD, PIPELINE_BOARD], ids=lambda board: str(board.uid))
def test_prometheus_understands_every_panel(prometheus: Prometheus, board: Dashboard) -> None:
    for query in [query for panel in board.panels for query, _ in panel.queries]:
        prometheus.ask(query)


def test_an_alert_goes_off_in_a_running_prometheus(prometheus: Prometheus) -> None:
    """`RoostProcessDown` waits two minutes; that it is pending by then shows the way from a scrape to the alert."""
    query = 'ALERTS{alertname="RoostProcessDown"}'
    found = eventually("the alert is pending", lambda: prometheus.ask(query))
    # On a slow machine the two minutes may be over already.
    assert {one["metric"]["alertstate"] for one in found} <= {"pending", "firing"}
    assert {one["metric"]["job"] for one in found} == {"roost-console"}


def test_the_customers_dashboard_asks_what_the_ledger_has(request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue("database_settings")
    with psycopg.connect(settings.url.get_secret_value()) as connection:
        questions = [query for panel in CUSTOMER_BOARD.panels for query, _ in panel.queries]
        for query in [*questions, str(CUSTOMER_BOARD.variables[0]["query"])]:
            connection.execute(query.replace("$customer", "acme").encode())
