"""The bucket as a real server describes it; the cluster as an API server answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from roost.adapters.gcs import open_store
from roost.adapters.gcs.bucket import described
from roost.adapters.kubernetes import cluster as clusters
from roost.doctor import cluster
from roost.doctor.findings import Level
from roost.settings import ServingSettings
from tests.parts import gcs_server

pytestmark = pytest.mark.integration


def test_a_real_server_describes_its_bucket(tmp_path: Path) -> None:
    with gcs_server(tmp_path) as settings:
        open_store(settings)
        found = described(settings)
    assert found.uri == "gs://roost-test"
    assert (found.keeps_former, found.retention_seconds, found.deletions, found.rights) == (False, 0, (), None)


class Answers(BaseHTTPRequestHandler):
    """An API server that lets this account do only some things."""

    allowed: frozenset[tuple[str, str]] = frozenset()

    def do_GET(self) -> None:
        self.reply({"major": "1", "minor": "34", "gitVersion": "v1.34.4", **dict.fromkeys(FIELDS, "")})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) in self.allowed
        self.reply({"spec": {}, "status": {"allowed": allowed}})

    def reply(self, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


FIELDS = ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServingSettings]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    entry = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
    context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
    document = {
        "clusters": [entry],
        "contexts": [context],
        "current-context": "here",
        "users": [{"name": "me", "user": {}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(document))
    monkeypatch.setattr(clusters.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    yield ServingSettings(namespace="roost")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("allowed", "levels"),
    [
        ({("list", "pods"), ("patch", "deployments")}, [Level.WELL, Level.WELL]),
        ({("list", "pods")}, [Level.WELL, Level.WELL, Level.WELL]),
        (set(), [Level.WELL, Level.WRONG, Level.WELL]),
    ],
)
def test_a_cluster_is_asked_for_its_version_and_for_this_accounts_rights(
    serving: ServingSettings, monkeypatch: pytest.MonkeyPatch, allowed: set[tuple[str, str]], levels: list[Level]
) -> None:
    monkeypatch.setattr(Answers, "allowed", frozenset(allowed))
    found = cluster.looked_at(serving)
    assert [one.level for one in found] == levels
    assert "v1.34.4" in found[0].said


def test_where_no_cluster_is_used_none_is_asked(tmp_path: Path) -> None:
    (found,) = cluster.looked_at(ServingSettings(directory_file=tmp_path / "nodes.json"))
    assert found.level is Level.WELL
