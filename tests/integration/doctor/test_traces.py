"""What the doctor says of where traces go: a real collector's port, and files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from roost.doctor.findings import Finding, Level
from roost.doctor.traces import looked_at
from roost.doctor.wiring import checks, chosen, examine
from roost.settings import Settings, TracingSettings
from tests.parts import free_port

pytestmark = pytest.mark.integration

TOKEN = "Bearer of-ours"


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    """As a collector answers: at its own path, to who has the token, to what it can read."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            spans = ExportTraceServiceRequest.FromString(body).resource_spans
            assert (self.headers["Content-Type"], list(spans)) == ("application/x-protobuf", [])
            known = self.headers["Authorization"] == TOKEN
            self.send_response((200 if known else 401) if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def of(found: list[Finding]) -> tuple[Level, str, str]:
    [one] = found
    assert one.about == "tracing"
    return one.level, one.said, one.remedy


def looked(directory: Path, **tracing: Any) -> tuple[Level, str, str]:
    return of(list(looked_at(TracingSettings.model_validate(tracing), directory)))


@pytest.mark.parametrize(
    ("path", "more", "expected"),
    [
        ("/v1/traces", {}, (Level.WRONG, "refuses this process (401)", "ROOST_TRACING__AUTHORIZATION")),
        ("/v1/traces", {"authorization": TOKEN}, (Level.WELL, "takes traces", "")),
        ("/", {"authorization": TOKEN}, (Level.WRONG, "answers 404", "/v1/traces")),
        (
            "/v1/traces",
            {"authorization": TOKEN, "sample": 0},
            (Level.DOUBTFUL, "none that begins here", "EXPORTER=none"),
        ),
        (
            "/v1/traces",
            {"authorization": TOKEN, "page": "https://t.test/"},
            (Level.DOUBTFUL, "same page", "{trace_id}"),
        ),
    ],
)
def test_a_collector_is_asked_to_take_nothing(
    collector: str, tmp_path: Path, path: str, more: dict[str, Any], expected: tuple[Level, str, str]
) -> None:
    found = looked(tmp_path, exporter="otlp", endpoint=collector + path, **more)
    assert found[0] is expected[0]
    assert expected[1] in found[1]
    assert expected[2] in found[2]
    assert TOKEN not in str(found)


def test_a_collector_that_is_away_is_wrong_and_ends_the_doctor_with_one(tmp_path: Path) -> None:
    away = TracingSettings(exporter="otlp", endpoint=f"http://127.0.0.1:{free_port()}/v1/traces")
    settings = Settings(tracing=away, state_dir=tmp_path)
    others = ("settings", "policy", "database", "kafka", "storage", "clock", "airflow", "pools")
    level, said, remedy = of(list(examine(chosen(checks(settings, probe=False), others))))
    assert (level, "does not answer" in said) == (Level.WRONG, True)
    assert "ROOST_TRACING__ENDPOINT" in remedy
    assert chosen(checks(settings, probe=False), (*others, "tracing")) == ()


def test_a_file_is_wrong_where_its_folder_is_not_there_and_well_where_it_can_be_written(tmp_path: Path) -> None:
    assert looked(tmp_path, exporter="file") == (Level.WELL, f"traces go to {tmp_path / 'traces.jsonl'}", "")
    level, said, remedy = looked(tmp_path / "none", exporter="file")
    assert (level, remedy) == (Level.WRONG, f"mkdir -p {tmp_path / 'none'}")
    assert "does not exist" in said
    named = tmp_path / "elsewhere.jsonl"
    named.mkdir()
    assert looked(tmp_path, exporter="file", file=named)[0] is Level.WRONG


def test_traces_that_are_off_are_well(tmp_path: Path) -> None:
    assert looked(tmp_path) == (Level.WELL, "off: ROOST_TRACING__EXPORTER is none", "")
    assert not list(tmp_path.iterdir())
