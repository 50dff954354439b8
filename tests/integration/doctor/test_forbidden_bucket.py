"""`roost doctor` where the bucket is somebody else's: Google answers alike whether it is forbidden or of another project."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from roost.doctor.findings import Level
from roost.doctor.wiring import checks, chosen, examine
from roost.settings import Settings, StorageSettings

pytestmark = pytest.mark.integration

#: As Google Cloud Storage words it.
SAID = (
    "roost-deployer@ours.iam.gserviceaccount.com does not have storage.buckets.get access to the Google Cloud Storage "
    "bucket. Permission 'storage.buckets.get' denied on resource (or it may not exist)."
)


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """A store that refuses this account whatever it asks."""
    detail = {"message": SAID, "domain": "global", "reason": "forbidden"}
    content = json.dumps({"error": {"code": 403, "message": SAID, "errors": [detail]}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(403)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 (the names that http.server calls)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("probe", [False, True])
def test_a_bucket_of_another_project_is_named_with_the_account_and_both_settings(google: str, probe: bool) -> None:
    storage = StorageSettings(bucket="theirs", project="ours", endpoint=google)
    without = ("settings", "policy", "database", "kafka", "clock", "airflow", "pools", "tracing")
    found = examine(chosen(checks(Settings(storage=storage), probe=probe), without))
    # What it holds cannot be had, which is wrong; how it is set up need not be known, which is a doubt.
    assert {(one.about, one.level) for one in found} == {("storage", Level.WRONG), ("bucket", Level.DOUBTFUL)}
    for part in ("gs://theirs/", "403", "roost-deployer@ours", "storage.buckets.get", "of another project"):
        assert part in found[0].said
    for part in ("ROOST_STORAGE__BUCKET", "ROOST_STORAGE__PROJECT"):
        assert part in found[0].remedy
