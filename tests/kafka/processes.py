"""Roost's processes against a secured broker, each with an account of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.settings import KafkaSettings
from tests.kafka.secured import environment

ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], object], told: Callable[[], str] = lambda: "", seconds: float = 120) -> None:
    """Wait until it holds; where it does not, say what was seen."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not happen in time\n{told()}"
        time.sleep(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process that stays."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line})
        return found

    def readiness(self) -> dict[str, Any]:
        """What ``/readyz`` says; nothing while there is nobody to ask."""
        address = next((line["address"] for line in self.lines() if line.get("action") == "listen"), None)
        if address is None:
            return {}
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
                return json.load(answer)  # type: ignore[no-any-return]  # it is what we wrote
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)  # type: ignore[no-any-return]  # the same, with code 503
        except OSError:
            return {}

    def end(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(20)


@dataclass(slots=True)
class Processes:
    """Starts them, with the same settings beside the broker's."""

    directory: Path
    #: ``ROOST_*`` for all of them.
    more: dict[str, str] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    def start(self, kafka: KafkaSettings, *arguments: str) -> Running:
        """One of `roost`'s commands that stays."""
        log = self.directory / f"{len(self.started)}-{'-'.join(arguments)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "roost", *arguments],
                env=environment(kafka, **self.more),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(Running(process=process, log=log))
        return self.started[-1]

    def run(self, kafka: KafkaSettings, *arguments: str, module: str = "roost") -> subprocess.CompletedProcess[str]:
        """A command that ends."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment(kafka, **self.more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def end(self) -> None:
        """All of them, now."""
        for one in self.started:
            one.end()

    def told(self) -> str:
        """The end of every log."""
        return "\n".join(f"== {one.log.name}\n{one.log.read_text()[-1500:]}" for one in self.started)
