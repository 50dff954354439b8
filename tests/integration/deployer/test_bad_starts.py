"""How the deployer's commands start where something is not as it should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.parts import free_port, gcs_server

pytestmark = pytest.mark.integration

NOBODY = {
    "ROOST_STORAGE__ENDPOINT": "http://127.0.0.1:1",
    "ROOST_STORAGE__DEADLINE_SECONDS": "1",
    "ROOST_DATABASE__URL": "postgresql://127.0.0.1:1/none",
    "ROOST_KAFKA__BOOTSTRAP": "127.0.0.1:1",
}


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    directory = tmp_path / "nodes.json"
    directory.write_text('{"nodes": []}')
    known = {"ROOST_SERVING__DIRECTORY_FILE": str(directory), **NOBODY, **settings}
    return {**os.environ, **known}


def roost(tmp_path: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roost", *command],
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_policy_file_with_a_typing_error_is_named_with_its_line(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nrules:\n  bake_secondz: 3\n")
    done = roost(tmp_path, "deployer", ROOST_DEPLOYER__POLICY_FILE=str(policy))
    assert done.returncode == 78
    assert f"{policy}:3: rules.bake_secondz" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pool_that_is_no_id_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    done = roost(tmp_path, "restart", "--pool", "../etc")
    assert done.returncode == 78
    assert "pool id '../etc' is not valid" in done.stderr


def test_a_missing_node_directory_is_named_with_the_setting(tmp_path: Path) -> None:
    with gcs_server(tmp_path / "gcs") as storage:
        settings = {"ROOST_STORAGE__ENDPOINT": str(storage.endpoint), "ROOST_SERVING__DIRECTORY_FILE": ""}
        environment_without = environment(tmp_path, **settings)
        del environment_without["ROOST_SERVING__DIRECTORY_FILE"]
        done = subprocess.run(
            [sys.executable, "-m", "roost", "deployer"],
            env=environment_without,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 78
    assert "ROOST_SERVING__DIRECTORY_FILE" in done.stderr


@pytest.mark.parametrize("with_store", [False, True])
def test_a_deployer_whose_dependencies_are_not_there_yet_waits_and_drains_on_sigterm(
    tmp_path: Path, *, with_store: bool
) -> None:
    log = tmp_path / "deployer.log"
    with gcs_server(tmp_path / "gcs") as storage:
        settings = {"ROOST_STORAGE__ENDPOINT": str(storage.endpoint)} if with_store else {}
        health = f"127.0.0.1:{free_port()}"
        settings["ROOST_HEALTH_PORT"] = health.rpartition(":")[2]
        with log.open("wb") as output:
            command = [sys.executable, "-m", "roost", "deployer"]
            process = subprocess.Popen(command, env=environment(tmp_path, **settings), stdout=output, stderr=output)
        expected = "worker-0 waits" if with_store else "waits before it starts"
        until = time.monotonic() + 180
        while expected not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        # Alive, so that nobody ends it for waiting; and not ready.
        assert httpx.get(f"http://{health}/healthz", trust_env=False, timeout=60).status_code == 200
        ready = httpx.get(f"http://{health}/readyz", trust_env=False, timeout=60)
        assert ready.status_code == 503
        assert ("object store" in ready.json()["parts"]) is not with_store
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
