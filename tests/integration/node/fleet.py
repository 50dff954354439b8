"""Two nodes behind a front, and load that never pauses."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import numpy as np

from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import RoostError
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway.admin import GatewayAdmin
from serving.gateway.binary import command, find_envoy
from serving.gateway.configuration import as_text
from serving.gateway.front import FrontConfig, front
from tests.integration.node.world import RunningNode, Shelf, eventually
from tests.parts import free_port

#: Between two requests of one asker: enough of them to meet every moment, few enough to leave two cores for the rest.
_BREATH = 0.004


class Load:
    """One asker a served name, over gRPC and REST in turn, who keeps what each was told."""

    def __init__(self, where: NodeAddress, names: Sequence[str]) -> None:
        self.answers: dict[str, list[float]] = {name: [] for name in names}
        #: Served name to (seconds since the load began, what went wrong).
        self.failures: dict[str, list[tuple[float, str]]] = {name: [] for name in names}
        self._where = where
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name,), daemon=True) for name in names]
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def more(self, answers: int = 40, *, names: Sequence[str] | None = None) -> None:
        """Until each has been answered so many times more."""
        watched = names if names is not None else list(self.answers)
        before = {name: len(self.answers[name]) for name in watched}
        eventually(
            lambda: all(len(self.answers[name]) >= before[name] + answers for name in watched),
            f"{answers} more answers: {Counter({name: len(self.answers[name]) for name in watched})}, {self.failures}",
        )

    def until_answered_by(self, name: str, version: int) -> None:
        """Until the load itself has seen that version: a flip and the next may both fit between two requests."""
        eventually(
            lambda: bool(self.answers[name]) and self.answers[name][-1] == float(version),
            f"version {version} of {name} answers; {self.failures[name][-3:]}",
        )

    def _run(self, name: str) -> None:
        predictor, inputs = TfServingPredictor(), {"x": np.asarray([1.0], dtype=np.float32)}
        url = f"http://{self._where.rest}/v1/models/{name}:predict"
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not self._stop.wait(_BREATH):
                try:
                    found = predictor.predict(
                        self._where.grpc, name, inputs, version=None, signature="serving_default", deadline=60
                    )
                    self.answers[name].append(float(found["y"][0]))
                    answer = client.post(url, json={"instances": [1.0]}).raise_for_status()
                    self.answers[name].append(float(answer.json()["predictions"][0]))
                except (RoostError, httpx.HTTPError) as error:
                    said = error.response.text if isinstance(error, httpx.HTTPStatusError) else ""
                    self.failures[name].append((time.monotonic() - self._began, f"{error!r} {said}"))
        predictor.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One pool."""

    shelf: Shelf
    nodes: Sequence[RunningNode]
    #: Command line of each node, by name, that gives it the ports that the front knows.
    ports: Mapping[str, Sequence[str]]
    #: Where its front answers.
    front: NodeAddress

    def settle(self, generation: int) -> None:
        """Have every node settle it, and serve it."""
        for node in self.nodes:
            node.control.nudge(node.address, generation, deadline=60)
        for node in self.nodes:
            assert node.settle(generation, nudge=False).converged, node.state()


def fixed_ports() -> list[str]:
    """The command line of a node that is found again after a restart."""
    return [each for flag in ("--control", "--rest", "--grpc") for each in (flag, f"127.0.0.1:{free_port()}")]


@contextmanager
def fronted(directory: Path, nodes: Sequence[RunningNode]) -> Iterator[NodeAddress]:
    """A front before these nodes, ready to answer."""
    rest, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    admin = directory / "front.sock"
    config = FrontConfig(
        rest=rest,
        grpc=grpc,
        nodes=[node.address for node in nodes],
        admin_socket=admin,
        settings=GatewaySettings(),
    )
    file = directory / "front.json"
    # A node's answer of whether it is ready may be late here: that is this machine's business, and not the front's. One
    # that says that it is not, and one that is gone, are told of at once.
    file.write_text(as_text(front(config).whole()).replace('"timeout": "1s"', '"timeout": "60s"'))
    with (directory / "front.log").open("wb") as output:
        process = subprocess.Popen(command(find_envoy("auto"), file), stdout=output, stderr=output)
    try:
        eventually(lambda: admin.exists() and GatewayAdmin(admin).ready(), "the front is ready")
        yield NodeAddress(node="front", pool="default", control="", rest=rest, grpc=grpc)
    finally:
        process.terminate()
        process.wait(60)
