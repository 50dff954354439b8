"""Starting a node: what it needs, what it says where it cannot, and its init step."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from roost.contracts.ids import desired_object
from roost.process import EXIT_PERMANENT, EXIT_RETRY
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.world import START_SECONDS, TOKEN, RunningNode, Shelf, eventually
from tests.parts import free_port

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def test_the_node_never_imports_tensorflow():
    code = (
        "import sys, serving.node.main; "
        "print([name for name in sys.modules if name.startswith(('tensorflow.python', 'keras'))], "
        "hasattr(sys.modules['tensorflow'], '__file__'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[] False"


def test_an_empty_pool_has_a_ready_node_that_asks_for_its_token(
    shelf: Shelf, make_node: Callable[..., RunningNode], tmp_path: Path
):
    official = tmp_path / "bin" / "tensorflow_model_server"
    official.parent.mkdir()
    official.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/flags\nexec {sys.executable} -m serving.model_server "$@"\n'
    )
    official.chmod(0o755)
    node = make_node(PATH=f"{official.parent}:{os.environ['PATH']}")
    node.start()
    node.await_ready()
    assert node.state().generation == 0
    # What is on PATH under that name is what runs; here it is our own, and a real one is started just so.
    assert "--port=0 --grpc_socket_path=/" in (tmp_path / "flags").read_text()
    assert "libtensorflow" not in Path(f"/proc/{node.process.pid}/maps").read_text()
    base = f"http://{node.address.control}"
    with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
        assert client.get("/state").status_code == 401
        assert client.get("/state", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.post("/restart").status_code == 401
        assert client.get("/healthz").status_code == 200
        assert "roost_node_ready 1.0" in client.get("/metrics").text
        authorised = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/nudge", json={"generation": -1}, headers=authorised).status_code == 422
        assert [one["what"] for one in client.get("/changes", headers=authorised).json()] == ["node started"]
        assert client.get("/docs").status_code == 200
        second = make_node()
        assert second.spawn().wait(START_SECONDS) == EXIT_PERMANENT
        assert "another node runs on" in second.log
        assert client.post("/stop", headers=authorised).status_code == 202
    assert node.process.wait(START_SECONDS) == 0


def test_the_init_step_fills_the_cache_and_the_node_starts_without_the_store(
    shelf: Shelf, gcs: StoreProcess, make_node: Callable[..., RunningNode]
):
    shelf.put("ua.default", 1, "one")
    shelf.desire({"ua.default": ([1], {"stable": 1})})
    node = make_node()
    assert node.spawn("--sync-only").wait(START_SECONDS) == 0
    assert "the cache holds generation 1 (versions: 1)" in node.log
    assert (node.root / "cache" / "ua.default" / "1" / "saved_model.pb").is_file()
    assert 'name: "ua.default"' in (node.root / "models.config").read_text()
    gcs.stop()
    node.start()
    node.await_ready()
    assert node.answer("ua.default") == 1.0
    gcs.start()


def test_the_init_step_waits_for_a_store_that_is_away_until_it_is_told_to_end(
    shelf: Shelf, gcs: StoreProcess, make_node: Callable[..., RunningNode]
):
    gcs.stop()
    node = make_node(ROOST_STORAGE__DEADLINE_SECONDS="0.5")
    process = node.spawn("--sync-only")
    eventually(lambda: "the cache is not filled yet" in node.log, "it says that it waits")
    assert node.stop() == EXIT_RETRY == process.returncode
    assert "told to end before pool default was in the cache" in node.log
    assert "Traceback" not in node.log
    gcs.start()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            lambda shelf: shelf.desire({"ua.default": ([4], {"stable": 4})}),
            "models/ua/default/4/MANIFEST.json does not exist",
        ),
        (lambda shelf: shelf.store.write(desired_object("default"), b"{]", if_generation=0), "is not a desired state"),
    ],
)
def test_the_init_step_says_what_it_lacks(
    shelf: Shelf, make_node: Callable[..., RunningNode], prepare: Callable[[Shelf], object], said: str
):
    prepare(shelf)
    node = make_node()
    assert node.spawn("--sync-only").wait(START_SECONDS) == EXIT_PERMANENT
    assert said in node.log
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (
            ["--rest", "127.0.0.1:{taken}"],
            {},
            "the REST address 127.0.0.1:{taken} cannot be used: Address already in use",
        ),
        (
            ["--rest", "127.0.0.1:{free}", "--grpc", "127.0.0.1:{free}"],
            {},
            "gRPC address 127.0.0.1:{free} is taken by another one of this node: give each its own port",
        ),
        (
            ["--rest", "127.0.0.1:{free}", "--grpc", "localhost:{free}"],
            {},
            "the gRPC address localhost:{free} cannot be used: Address already in use; choose another, or port 0",
        ),
        (["--control", "0.0.0.0:0"], {"ROOST_SERVING__CONTROL_TOKEN": ""}, "set ROOST_SERVING__CONTROL_TOKEN"),
        (["--control", "nonsense"], {}, "not of the form host:port"),
        (["--pool", "../x"], {}, "pool id '../x' is not valid"),
        ([], {"ROOST_SERVING__MODEL_SERVER": "/no/such"}, "ROOST_SERVING__MODEL_SERVER names /no/such"),
        ([], {"ROOST_SERVING__ENVOY": "/no/such"}, "ROOST_SERVING__ENVOY"),
    ],
)
def test_what_cannot_be_used_is_named(
    make_node: Callable[..., RunningNode], arguments: list[str], settings: dict[str, str], said: str
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"taken": taken.getsockname()[1], "free": free_port()}
        node = make_node(**settings)
        process = node.spawn(*(argument.format(**ports) for argument in arguments))
        assert process.wait(START_SECONDS) == EXIT_PERMANENT
        assert len([line for line in node.log.splitlines() if said.format(**ports) in line]) == 1, node.log
        assert "Traceback" not in node.log
