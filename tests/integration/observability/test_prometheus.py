"""The rules and a scrape, by Prometheus' own programs. Where they are not installed these tests say so and are skipped."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from roost.dashboards.customer import CUSTOMER_BOARD
from roost.telemetry.catalogue import FOREIGN, series
from roost.telemetry.health import HealthServer
from tests.parts import free_port

pytestmark = pytest.mark.integration

ALERTS = Path("manifests/alerts")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: Debian's package prometheus brings it")
    return found


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


def test_the_rules_are_valid_and_each_alert_fires_and_stays_silent_as_it_should() -> None:
    promtool = program("promtool")
    files = sorted(map(str, ALERTS.glob("*.rules.yaml")))
    checked = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tests = sorted(map(str, (ALERTS / "tests").glob("*.test.yaml")))
    tested = subprocess.run([promtool, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Prometheus with Roost's rules, scraping one process of Roost and one that is not there."""
    binary, folder = program("prometheus"), tmp_path_factory.mktemp("prometheus")
    health, port = HealthServer("127.0.0.1", 0, dict), free_port()
    jobs = {"roost-deployer": health.address, "roost-console": f"127.0.0.1:{free_port()}"}
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(file.absolute()) for file in ALERTS.glob("*.rules.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in jobs.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    arguments = [
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=5) as client:
            eventually(lambda: _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(20)
        health.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/status/buildinfo").is_success
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, query: str) -> list[Any]:
    answer = client.get("/query", params={"query": query}).json()
    found: list[Any] = answer["data"]["result"]
    return found


def test_a_scrape_shows_what_the_catalogue_says_and_nothing_else_of_ours(prometheus: httpx.Client) -> None:
    from roost.telemetry import metrics

    metrics.NODES_BEHIND.labels(pool="scraped").set(0)
    metrics.SIGNUP_TO_ANSWER.observe(40)
    eventually(lambda: ask(prometheus, 'roost_pool_nodes_behind_count{pool="scraped"}'))
    names = set(prometheus.get("/label/__name__/values").json()["data"])
    ours = {name for name in names if name.startswith("roost_") and not name.endswith("_created")}
    assert ours - series() == set()
    assert {"roost_pool_nodes_behind_count", "roost_onboarding_signup_to_answer_seconds_bucket", *FOREIGN} <= names


def test_an_alert_goes_off_in_a_running_prometheus(prometheus: httpx.Client) -> None:
    """`RoostProcessDown` waits two minutes; that it is pending shows the way from a scrape to the alert."""
    found = eventually(lambda: ask(prometheus, 'ALERTS{alertname="RoostProcessDown"}'))
    assert [(one["metric"]["job"], one["metric"]["alertstate"]) for one in found] == [("roost-console", "pending")]


def test_the_customers_dashboard_asks_what_the_ledger_has(request: pytest.FixtureRequest) -> None:
    settings = request.getfixturevalue("database_settings")
    with psycopg.connect(settings.url.get_secret_value()) as connection:
        questions = [query for panel in CUSTOMER_BOARD.panels for query, _ in panel.queries]
        for query in [*questions, str(CUSTOMER_BOARD.variables[0]["query"])]:
            connection.execute(query.replace("$customer", "acme").encode())
