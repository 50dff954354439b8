"""The whole local stack as its commands show it; that nothing is left of it is checked when it goes, in conftest.py."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from roost.embedded import addresses
from roost.embedded.state_dir import StateDir
from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.tensorflow, pytest.mark.timeout(900)]

STEPS = {"migrations", "airflow-db"}


def status(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.run("status", "--json", check=False))
    return document


def test_every_part_is_ready_at_the_address_that_status_gives(world: World) -> None:
    world.until("everything is ready", lambda: status(world)["state"] == "ready", 180)
    document = status(world)
    states = {part["name"]: part["state"] for part in document["parts"]}
    assert states == {name: "done" if name in STEPS else "ready" for name in states}
    assert {"node-1", "node-2", "node-3", "canary-1", "deployer", "signup-consumer", "airflow-scheduler"} <= set(states)
    places = document["addresses"]
    assert httpx.get(places["console"], follow_redirects=True).status_code == 200
    assert httpx.get(places["airflow"], follow_redirects=True).status_code == 200


def test_the_printed_login_opens_airflow(world: World) -> None:
    places = status(world)["addresses"]
    user, _, password = places["airflow login"].partition(" / ")
    token = httpx.post(f"{places['airflow']}/auth/token", json={"username": user, "password": password})
    assert token.status_code == 201
    refused = httpx.post(f"{places['airflow']}/auth/token", json={"username": user, "password": "guess"})
    assert refused.status_code == 401


def test_the_whole_stack_takes_less_than_six_gigabytes(world: World) -> None:
    assert sum(part["memory_mb"] or 0 for part in status(world)["parts"]) < 6_000


def test_commands_find_the_stack_by_themselves(world: World) -> None:
    # Not by ROOST_SETTINGS_FILE: the state directory is enough.
    shown = {row["variable"]: row for row in json.loads(world.run("settings", "--json", bare=True))}
    known = addresses.load(StateDir.at(world.state))
    assert known is not None
    assert shown["ROOST_KAFKA__BOOTSTRAP"]["value"] == known.at("broker")
    assert shown["ROOST_KAFKA__BOOTSTRAP"]["source"] == "file"


def test_a_second_up_says_that_it_is_up(world: World) -> None:
    assert "is up" in world.run("up", "--wait", bare=True)


def test_a_killed_process_of_ours_is_started_again_and_counted(world: World) -> None:
    def restarts() -> int:
        return int(next(part["restarts"] for part in status(world)["parts"] if part["name"] == "console"))

    before = restarts()
    world.until_restarted("console", world.kill("console"))
    assert restarts() == before + 1
