"""The whole local stack: all parts up, all parts gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from roost.embedded import addresses, leftovers, ports
from roost.embedded.state_dir import StateDir

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STEPS = {"migrations", "airflow-db"}


class Stack:
    """One stack, and the command `roost` that finds it."""

    def __init__(self, directory: Path) -> None:
        self.state = StateDir.at(directory / ".roost")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
        self.environment = clean | {"ROOST_STATE_DIR": str(self.state.root), "PYTHONPATH": str(ROOT)}

    def roost(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "roost", *words]
        return subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)

    def part(self, name: str) -> dict[str, Any]:
        document = json.loads(self.roost("status", "--json").stdout)
        return next(part for part in document["parts"] if part["name"] == name)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("a stack"))
    up = started.roost("up", "--wait")
    try:
        assert up.returncode == 0, up.stderr + up.stdout
        yield started
    finally:
        down = started.roost("down")
        assert down.returncode == 0, down.stderr
    known = addresses.load(started.state)
    assert known is not None
    assert leftovers.find(known.id) == []
    assert [name for name, port in known.ports.items() if not ports.is_free(port)] == []


def test_every_part_is_ready_at_the_address_that_status_gives(stack: Stack) -> None:
    document = json.loads(stack.roost("status", "--json").stdout)
    assert document["state"] == "ready"
    states = {part["name"]: part["state"] for part in document["parts"]}
    assert states == {name: "done" if name in STEPS else "ready" for name in states}
    assert {"node-1", "node-2", "node-3", "canary-1", "deployer", "signup-consumer", "airflow-scheduler"} <= set(states)
    places = document["addresses"]
    assert httpx.get(places["console"], follow_redirects=True).status_code == 200
    assert httpx.get(places["airflow"], follow_redirects=True).status_code == 200


def test_the_printed_login_opens_airflow(stack: Stack) -> None:
    places = json.loads(stack.roost("status", "--json").stdout)["addresses"]
    user, _, password = places["airflow login"].partition(" / ")
    token = httpx.post(f"{places['airflow']}/auth/token", json={"username": user, "password": password})
    assert token.status_code == 201
    refused = httpx.post(f"{places['airflow']}/auth/token", json={"username": user, "password": "guess"})
    assert refused.status_code == 401


def test_the_whole_stack_takes_less_than_six_gigabytes(stack: Stack) -> None:
    document = json.loads(stack.roost("status", "--json").stdout)
    assert sum(part["memory_mb"] or 0 for part in document["parts"]) < 6_000


def test_commands_find_the_stack_by_themselves(stack: Stack) -> None:
    shown = {row["variable"]: row for row in json.loads(stack.roost("settings", "--json").stdout)}
    known = addresses.load(stack.state)
    assert known is not None
    assert shown["ROOST_KAFKA__BOOTSTRAP"]["value"] == known.at("broker")
    assert shown["ROOST_KAFKA__BOOTSTRAP"]["source"] == "file"


def test_a_killed_process_of_ours_is_started_again_and_shown(stack: Stack) -> None:
    before = stack.part("deployer")
    psutil.Process(before["pid"]).kill()
    deadline = time.monotonic() + 120
    while (now := stack.part("deployer"))["state"] != "ready" or now["pid"] == before["pid"]:
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
    assert now["restarts"] == before["restarts"] + 1
