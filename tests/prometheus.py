"""A real Prometheus on loopback, with the repository's rules, scraping what a test names. Skips where it is not there."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.parts import free_port

ALERTS = Path("manifests/alerts")
#: In whose place Grafana puts what it knows.
_GRAFANA = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "15s"}


def program(name: str) -> str:
    """Where it is installed; skips the test where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: Debian's package prometheus brings it")
    return found


def eventually(what: str, look: Callable[[], Any], seconds: float = 180) -> Any:
    """The first true value of `look`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class Prometheus:
    """Its API. Every question that it refuses fails the test by what it says."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def asked(self, path: str, **parameters: str) -> Any:
        answer = self.client.get(path, params=parameters).json()
        assert answer["status"] == "success", f"{parameters or path}: {answer}"
        return answer["data"]

    def ask(self, query: str) -> list[Any]:
        """Samples of an instant query; Grafana's variables get a value."""
        for name, value in _GRAFANA.items():
            query = query.replace(name, value)
        found: list[Any] = self.asked("/query", query=query)["result"]
        return found

    def names(self) -> set[str]:
        """Series of ours, without the instants at which counters began, which the client library adds."""
        names = set(self.asked("/label/__name__/values"))
        return {name for name in names if name.startswith("roost_") and not name.endswith("_created")}

    def families(self, job: str) -> dict[str, tuple[str, str]]:
        """What a target says of each family, with or without samples: type and text."""
        found = self.asked("/targets/metadata", match_target=f'{{job="{job}"}}')
        ours = [one for one in found if one["metric"].startswith("roost_") and not one["metric"].endswith("_created")]
        return {one["metric"]: (one["type"], one["help"]) for one in ours}

    def rules(self) -> list[Any]:
        """Every rule that is loaded, alerts and recordings."""
        return [rule for group in self.asked("/rules")["groups"] for rule in group["rules"]]

    def evaluated(self) -> list[Any]:
        """The rules, once each was evaluated."""

        def look() -> list[Any] | None:
            rules = self.rules()
            return rules if all(rule["health"] != "unknown" for rule in rules) else None

        found: list[Any] = eventually("every rule is evaluated", look)
        return found


@contextmanager
def scraping(folder: Path, jobs: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """Scrape the addresses of each job twice a second, with every rule of ``manifests/alerts`` loaded."""
    binary, port = program("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(file.absolute()) for file in ALERTS.glob("*.rules.yaml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in jobs.items()
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
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20, trust_env=False) as client:
            eventually("Prometheus answers", lambda: _answers(client))
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(60)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/status/buildinfo").is_success
    except httpx.TransportError:
        return False
