"""`roost up` and its family on real parts, without Airflow and TensorFlow: these start in seconds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from roost.adapters.kafka import open_admin
from roost.contracts.events import Topic
from roost.embedded import addresses, leftovers, ports
from roost.embedded.state_dir import StateDir
from roost.embedded.supervisor import Supervisor
from roost.ports.event_bus import topics
from roost.settings import KafkaSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
LIGHT = ("--only", "broker", "--only", "object-store", "--only", "postgres")


class Command:
    """The command `roost` of one state directory."""

    def __init__(self, state: StateDir) -> None:
        self.state = state
        self.background_processes: list[subprocess.Popen[str]] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        self.environment = clean | {"ROOST_STATE_DIR": str(state.root), "PYTHONPATH": str(ROOT)}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "roost", *words],
            env=self.environment,
            cwd=self.state.root.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    def background(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "roost", *words],
            env=self.environment,
            cwd=self.state.root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.background_processes.append(process)
        return process

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return document

    def part(self, name: str) -> dict[str, Any]:
        return next(part for part in self.status()["parts"] if part["name"] == name)

    def left(self) -> list[psutil.Process]:
        known = addresses.load(self.state)
        return leftovers.find(known.id) if known else []

    def ports_held(self) -> list[int]:
        known = addresses.load(self.state)
        return [port for port in known.ports.values() if not ports.is_free(port)] if known else []


@pytest.fixture
def roost(tmp_path: Path) -> Iterator[Command]:
    """In a directory whose name has a blank, an apostrophe and an accent."""
    directory = tmp_path / "it's a café"
    directory.mkdir()
    command = Command(StateDir.at(directory / ".roost"))
    yield command
    for process in command.background_processes:
        process.kill()
        process.communicate()
    ended = command("down")
    assert ended.returncode == 0, ended.stderr
    assert command.left() == []


def until(holds: Callable[[], bool], seconds: float = 180) -> None:
    """Wait until it holds; fail by name after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def test_up_starts_the_parts_and_down_leaves_no_process_and_no_port(roost: Command) -> None:
    started = roost("up", "--wait", "--json", *LIGHT)
    assert started.returncode == 0, started.stderr
    document = json.loads(started.stdout)
    assert document["state"] == "ready"
    assert {part["name"]: part["state"] for part in document["parts"]} == {
        "postgres": "ready",
        "broker": "ready",
        "object-store": "ready",
    }
    assert all(part["pid"] and part["memory_mb"] > 1 for part in document["parts"])
    again = roost("up", "--wait", *LIGHT)
    assert again.returncode == 0
    assert "is up already" in again.stdout
    assert "listening on" in roost("logs", "broker", "-n", "100").stdout
    assert roost("status").returncode == 0

    assert roost("down").returncode == 0
    assert roost.left() == []
    assert roost.ports_held() == []
    assert roost("status").returncode == 3
    kept = roost.state.stack.read_text()
    assert roost("up", "--wait", "--only", "object-store").returncode == 0
    assert roost.state.stack.read_text() == kept, "the addresses moved though nobody took them"


@pytest.mark.long
def test_up_and_down_clean_up_after_a_supervisor_that_was_killed(roost: Command) -> None:
    assert roost("up", "--wait", *LIGHT).returncode == 0
    known = addresses.load(roost.state)
    assert known is not None
    _kill_supervisor(roost)
    orphans = {process.pid for process in roost.left()}
    assert orphans
    assert "processes of an earlier one live on" in roost("status").stdout
    restarted = roost("up", "--wait", "--only", "object-store")
    assert restarted.returncode == 0, restarted.stderr
    assert "that an earlier stack had left behind" in restarted.stdout
    assert not orphans & {process.pid for process in roost.left()}
    _kill_supervisor(roost)
    assert "had been left behind" in roost("down").stdout
    assert roost.left() == []
    assert roost.ports_held() == []


def test_a_broker_that_is_killed_comes_back_with_its_topics(roost: Command) -> None:
    assert roost("up", "--wait", "--only", "broker").returncode == 0
    before = roost.part("broker")
    family = psutil.Process(before["pid"]).children(recursive=True)
    tansu = next(process for process in family if "tansu" in process.name())
    tansu.kill()
    until(lambda: roost.part("broker")["pid"] not in {None, before["pid"]})
    until(lambda: bool(roost.part("broker")["state"] == "ready"))
    assert roost.part("broker")["restarts"] == 1
    kafka = KafkaSettings(bootstrap=before["address"])
    found = open_admin(kafka).ensure(topics(partitions=kafka.partitions, replication=kafka.replication))
    assert found == dict.fromkeys(Topic, "unchanged")


def test_ctrl_c_stops_everything(roost: Command) -> None:
    running = roost.background("up", "--only", "object-store")
    until(lambda: roost("status").returncode == 0)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=180)
    assert running.returncode == 0
    assert "everything is stopped" in said
    assert roost.left() == []
    assert roost.ports_held() == []


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(roost: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        refused = roost("up", "--wait", "--only", "object-store", "--port", f"object-store={number}")
    assert refused.returncode == 1
    assert f"port {number} (object-store of object-store) is taken by" in refused.stderr
    assert f"(pid {os.getpid()})" in refused.stderr
    assert "roost up --port object-store=0" in refused.stderr
    assert roost("up", "--wait", "--only", "object-store", "--port", "object-store=0").returncode == 0


def test_a_part_that_does_not_start_is_named_with_the_end_of_its_log_and_nothing_stays(roost: Command) -> None:
    roost.state.prepare()
    roost.state.postgres.mkdir()
    (roost.state.postgres / "PG_VERSION").write_text("9\n")
    failed = roost("up", "--wait", "--only", "postgres", "--only", "object-store")
    assert failed.returncode == 1
    assert "postgres ended 3 times" in failed.stderr
    assert "could not access the server configuration file" in failed.stderr, "PostgreSQL's own words are missing"
    assert "remedy: " in failed.stderr
    assert roost.left() == []
    stopped = roost.status()
    assert stopped["state"] == "down"
    assert "postgres ended 3 times" in stopped["last_failure"]


def test_the_log_of_a_part_can_be_followed_and_an_unknown_one_names_those_there_are(roost: Command) -> None:
    assert roost("up", "--wait", "--only", "object-store").returncode == 0
    unknown = roost("logs", "objectstore")
    assert unknown.returncode == 1
    assert "there is no log of objectstore; there are object-store, supervisord" in unknown.stderr
    following = roost.background("logs", "supervisord", "-f", "-n", "1")
    assert following.stdout is not None
    # A part may be ready before supervisord calls it running: the line may be the last one, or come while we follow.
    assert any("object-store entered RUNNING state" in line for line in iter(following.stdout.readline, ""))
    Supervisor(roost.state).stop_part("object-store")
    assert "stopped: object-store" in following.stdout.readline()
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=180)
    assert following.returncode == 0


def test_up_in_the_background_returns_at_once_and_status_tells_when_it_is_ready(roost: Command) -> None:
    began = roost("up", "--detach", "--only", "object-store")
    assert began.returncode == 0
    until(lambda: roost("status").returncode == 0)


def test_a_wrong_port_option_is_refused_by_its_form(roost: Command) -> None:
    refused = roost("up", "--wait", "--port", "console")
    assert refused.returncode == 1
    assert "--port takes NAME=NUMBER" in refused.stderr


def _kill_supervisor(roost: Command) -> None:
    pid = Supervisor(roost.state).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=60)
