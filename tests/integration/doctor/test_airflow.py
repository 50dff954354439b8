"""What the doctor says of Airflow, by the answers that Airflow 3.3 gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from roost.doctor.findings import Finding
from roost.doctor.wiring import checks
from roost.settings import AirflowSettings, Settings

pytestmark = pytest.mark.integration

WELL = {"status": "healthy"}
HEALTH = {"metadatabase": WELL, "scheduler": WELL, "dag_processor": WELL, "triggerer": {"status": None}}


class Airflow:
    def __init__(self) -> None:
        self.health: Any = HEALTH
        self.version = "3.3.2"
        self.token = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = {"/api/v2/monitor/health": outer.health, "/api/v2/version": {"version": outer.version}}
                # Airflow names what it does not have.
                missing = {"detail": f"The DagRun of {self.path} was not found"}
                self._answer(200 if self.path in known else 404, known.get(self.path, missing))

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer(outer.token, {"access_token": "t"} if outer.token == 200 else {"detail": "Unauthorized"})

            def _answer(self, code: int, document: Any) -> None:
                content = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    server = Airflow()
    yield server
    server.close()


def said(airflow: Airflow) -> tuple[Finding, ...]:
    settings = Settings(airflow=AirflowSettings(url=airflow.url, username="roost", password="p"))
    (check,) = [one for one in checks(settings, probe=False) if one.about == "airflow"]
    return tuple(check.run())


def test_a_healthy_airflow_with_a_good_login_is_well(airflow: Airflow) -> None:
    found = said(airflow)
    assert {finding.level for finding in found} == {"well"}
    assert found[-1].said == "it is Airflow 3.3.2"


def test_an_airflow_that_is_too_old_is_named_with_what_roost_needs(airflow: Airflow) -> None:
    airflow.version = "2.11.0"
    assert [(finding.level, finding.remedy) for finding in said(airflow)][-1] == (
        "wrong",
        "upgrade it: Roost needs 3.0 or newer",
    )


def test_a_scheduler_that_does_not_beat_is_named_though_the_port_answers(airflow: Airflow) -> None:
    airflow.health = HEALTH | {"scheduler": {"status": "unhealthy"}, "dag_processor": {"status": None}}
    (finding,) = said(airflow)
    assert (finding.level, finding.remedy) == ("wrong", "docs/runbooks/airflow-down.md")
    assert finding.said.endswith("scheduler, dag_processor")


def test_a_login_that_is_refused_names_its_settings(airflow: Airflow) -> None:
    airflow.token = 401
    (finding,) = said(airflow)
    assert finding.level == "wrong"
    assert "ROOST_AIRFLOW__USERNAME" in finding.said + finding.remedy


def test_a_server_that_is_no_airflow_is_named_with_its_address(airflow: Airflow) -> None:
    airflow.health = {"hello": "world"}
    (finding,) = said(airflow)
    assert finding.level == "wrong"
    assert "metadatabase" in finding.said
