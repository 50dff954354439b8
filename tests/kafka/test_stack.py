"""`roost up --bus apache`: one broker whose log outlives the stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.adapters.kafka import open_reader
from roost.contracts.events import Topic
from roost.embedded import addresses, leftovers, ports
from roost.embedded.apache_kafka import Program
from roost.embedded.state_dir import StateDir
from roost.settings import KafkaSettings
from tests.kafka.three import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


class Stack:
    """The broker alone, under the supervisor."""

    def __init__(self, directory: Path) -> None:
        self.state = StateDir.at(directory / ".roost")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        self.environment = clean | {"ROOST_STATE_DIR": str(self.state.root), "PYTHONPATH": str(ROOT)}

    def roost(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "roost", *words]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
        )

    def up(self) -> dict[str, Any]:
        done = self.roost("up", "--wait", "--json", "--bus", "apache", "--only", "broker")
        assert done.returncode == 0, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def customers(self) -> list[bytes | None]:
        known = addresses.load(self.state)
        assert known is not None
        settings = KafkaSettings(bootstrap=known.at("broker"))
        return [one.key for one in open_reader(settings).read(Topic.CUSTOMERS)]


@pytest.fixture
def stack(kafka_program: Program, tmp_path: Path) -> Iterator[Stack]:
    """In a directory whose name has a blank, a comma and an accent: Kafka must find its log all the same."""
    directory = tmp_path / "a café, too"
    directory.mkdir()
    found = Stack(directory)
    yield found
    assert found.roost("down").returncode == 0


def test_the_log_outlives_a_kill_and_the_stack_and_nothing_else_does(stack: Stack) -> None:
    [part] = stack.up()["parts"]
    assert (part["name"], part["state"]) == ("broker", "ready")
    assert part["address"].endswith("(Apache Kafka)")
    assert "Kafka Server started" in stack.roost("logs", "broker", "-n", "2000").stdout
    assert stack.roost("signup", "acme").returncode == 0
    behind = stack.roost("topics", "lag")
    assert (behind.returncode, "1 event behind" in behind.stdout) == (1, True), behind.stdout + behind.stderr
    os.kill(part["pid"], 9)
    until("it is another process, and ready", lambda: _renewed(stack, part["pid"]))
    assert stack.customers() == [b"acme"]
    assert stack.roost("down").returncode == 0
    known = addresses.load(stack.state)
    assert known is not None
    assert leftovers.find(known.id) == []
    assert [port for port in known.ports.values() if not ports.is_free(port)] == []
    stack.up()
    assert stack.customers() == [b"acme"]


def test_without_java_nothing_is_started_and_the_remedy_is_named(stack: Stack, tmp_path: Path) -> None:
    stack.environment["PATH"] = str(tmp_path)
    done = stack.roost("up", "--wait", "--bus", "apache", "--only", "broker")
    assert (done.returncode, "needs Java 17 or newer" in done.stderr) == (1, True), done.stderr
    assert stack.roost("status").returncode == 3


def _renewed(stack: Stack, before: int) -> bool:
    document = json.loads(stack.roost("status", "--json").stdout)
    return document["state"] == "ready" and document["parts"][0]["pid"] != before
