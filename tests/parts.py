"""Real parts that suites start: each on a free loopback port, with its state in a directory of its own."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roost.embedded.gcs_server import serve_gcs
from roost.settings import StorageSettings

#: Ports that this process has been given: the system may give one again before anybody listens there.
_GIVEN: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on now, another one each time."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


@contextmanager
def gcs_server(directory: Path, *, seconds: float = 90) -> Iterator[StorageSettings]:
    """A real GCS-compatible server with its objects under `directory`; ready when this yields."""
    directory.mkdir(parents=True, exist_ok=True)
    server = serve_gcs(directory / "objects", free_port())
    (directory / "objects").mkdir(exist_ok=True)
    log = directory / "gcs.log"
    with log.open("wb") as output:
        process = subprocess.Popen(server.command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _await(server.ready_url, process, log, time.monotonic() + seconds)
            yield StorageSettings(bucket="roost-test", endpoint=server.endpoint, deadline_seconds=20)
        finally:
            process.terminate()
            process.wait(60)


def _await(url: str, process: subprocess.Popen[bytes], log: Path, until: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{url} does not answer: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
