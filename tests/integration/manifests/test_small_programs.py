"""The one-line programs inside manifests and images, run as they stand there: the drain before a pod's end, health checks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.manifests.test_overlays import containers, rendered

pytestmark = pytest.mark.integration


class Door:
    """A process's port: answers what it is told to, and keeps who asked."""

    def __init__(self) -> None:
        self.code = 200
        self.asked: list[tuple[str, str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                outer.asked.append((self.command, self.path, self.headers.get("authorization")))
                self.send_response(outer.code)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = _answer  # noqa: N815 (the names that http.server calls)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()
    yield found
    found.server.shutdown()
    found.server.server_close()


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_a_pod_drains_its_node_with_the_nodes_token_before_it_is_told_to_end(door: Door) -> None:
    node = dict(containers(rendered("local")))["roost-pool-default/node"]
    name, option, program = node["lifecycle"]["preStop"]["exec"]["command"]
    assert (name, option) == ("python", "-c")
    assert "time.sleep(10)" in program
    here = program.replace(":8502/", f":{door.port}/").replace("time.sleep(10)", "time.sleep(0)")
    done = python(here, ROOST_SERVING__CONTROL_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert door.asked == [("POST", "/drain", "Bearer secret")]


@pytest.mark.parametrize(
    ("image", "port", "path"),
    [("services", None, "/readyz"), ("serving", "8502", "/readyz"), ("airflow", "8080", "/api/v2/monitor/health")],
)
def test_an_images_health_check_asks_its_process_and_believes_it(
    door: Door, image: str, port: str | None, path: str
) -> None:
    text = Path(f"docker/{image}.Dockerfile").read_text()
    found = re.search(r"HEALTHCHECK [^\n]*\\\n\s+CMD (\[.*\])", text)
    assert found is not None
    name, option, program = json.loads(found[1])
    assert (name, option) == ("python", "-c")
    here = program.replace(f":{port}/", f":{door.port}/") if port else program
    assert python(here, ROOST_HEALTH_PORT=str(door.port)).returncode == 0
    assert door.asked == [("GET", path, None)]
    door.code = 503
    assert python(here, ROOST_HEALTH_PORT=str(door.port)).returncode != 0
