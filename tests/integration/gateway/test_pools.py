"""The front of several pools, as its own process: a name's pool answers, and a move of names fails no request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest

from roost.adapters.tf_messages import predict_pb2
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.replica import Replica
from tests.parts import free_port

# `tf_messages` does not pass these on; its import above has made them importable without TensorFlow.
from tensorflow_serving.apis import inference_pb2  # isort: skip

pytestmark = pytest.mark.integration

SERVICE = "/tensorflow.serving.PredictionService"
#: So many names that a list of routes would be felt.
MANY = {f"c{number:05d}.default": "large" for number in range(10_000)}
NAMES = {**MANY, "ua.default": "default", "dl.default": "large", "aa.moves": "default", "bb.moves": "large"}


class Pools:
    """A front's process, its files, and the nodes behind it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.replicas = [Replica("a-1"), Replica("a-2"), Replica("b-1", "large")]
        self.rest, self.grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.client = httpx.Client(base_url=f"http://{self.rest}", timeout=60, trust_env=False)
        self.channel = grpc.insecure_channel(self.grpc)
        self.list(self.replicas)
        self.place(NAMES)
        self.log = directory / "front.log"
        environment = os.environ | {
            "ROOST_SERVING__DIRECTORY_FILE": str(directory / "nodes.json"),
            "ROOST_SERVING__PLACEMENT_FILE": str(directory / "placement.json"),
        }
        command = [sys.executable, "-m", "roost.embedded.front", str(directory), self.rest, self.grpc]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def list(self, replicas: list[Replica]) -> None:
        self._put("nodes.json", {"nodes": [asdict(replica.address) for replica in replicas]})

    def place(self, names: dict[str, str]) -> None:
        self._put("placement.json", {"otherwise": "default", "names": names})

    def _put(self, name: str, document: object) -> None:
        fresh = self.directory / f"{name}.new"
        fresh.write_text(json.dumps(document))
        fresh.replace(self.directory / name)

    def by_rest(self, name: str, path: str = "/v1/models/{}:predict") -> str:
        answer = self.client.post(path.format(name), json={"instances": [1]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["predictions"])

    def by_grpc(self, name: str) -> str:
        request = predict_pb2.PredictRequest(model_spec={"name": name}).SerializeToString()
        return self.call(PREDICT, request)

    def call(self, method: str, request: bytes) -> str:
        answer: bytes = self.channel.unary_unary(method)(request, timeout=60)
        return answer.decode()

    def until(self, holds: Callable[[], bool], seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def up(self) -> bool:
        """Whether every replica is asked, by both doors."""
        try:
            return all(
                {ask(name) for _ in range(8)} == nodes
                for ask in (self.by_rest, self.by_grpc)
                for name, nodes in (("ua.default", {"a-1", "a-2"}), ("dl.default", {"b-1"}))
            )
        except (httpx.TransportError, AssertionError, grpc.RpcError):
            return False

    def stop(self) -> int:
        self.process.terminate()
        ended = self.process.wait(60)
        self.client.close()
        self.channel.close()
        for replica in self.replicas:
            replica.close()
        return ended


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    it = Pools(tmp_path_factory.mktemp("pools"))
    try:
        it.until(it.up)
        yield it
    finally:
        ended = it.stop()
    assert ended == 0


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("ua.default", {"a-1", "a-2"}),
        ("dl.default", {"b-1"}),
        ("c09999.default", {"b-1"}),
        ("not-placed.default", {"a-1", "a-2"}),
        ("dl.default2", {"a-1", "a-2"}),
    ],
)
def test_a_name_is_answered_by_its_pool(pools: Pools, name: str, nodes: set[str]):
    customer, model = name.split(".")
    asked: dict[str, Callable[[], str]] = {
        "a name": lambda: pools.by_rest(name),
        "a version": lambda: pools.by_rest(name, "/v1/models/{}/versions/3:predict?a=b"),
        "the page": lambda: pools.by_rest(name, f"/v1/customers/{customer}/models/{model}:predict"),
        "gRPC": lambda: pools.by_grpc(name),
    }

    def every_replica_of_its_own_pool(ask: Callable[[], str]) -> bool:
        answered = {ask() for _ in range(8)}
        assert answered <= nodes
        # One that was late to say that it is ready, on a busy machine, is not asked for a moment.
        return answered == nodes

    for ask in asked.values():
        pools.until(partial(every_replica_of_its_own_pool, ask))


def test_several_tasks_go_to_the_pool_of_the_first(pools: Pools):
    request = inference_pb2.MultiInferenceRequest()
    for name in ("dl.default", "ua.default"):
        request.tasks.add().model_spec.name = name
    assert pools.call(f"{SERVICE}/MultiInference", request.SerializeToString()) == "b-1"


def test_a_client_cannot_choose_the_pool(pools: Pools):
    answer = pools.client.post("/v1/models/ua.default:predict", json={}, headers={"x-roost-pool": "rest/large"})
    assert answer.json()["predictions"] in {"a-1", "a-2"}
    metadata = [("x-roost-pool", "grpc/large")]
    request = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()
    assert pools.channel.unary_unary(PREDICT)(request, timeout=60, metadata=metadata) in {b"a-1", b"a-2"}


@pytest.mark.parametrize("request_bytes", [b"", b"\xff", b"\x0a\x05ab"])
def test_a_message_without_a_name_that_can_be_read_goes_where_unlisted_names_go(pools: Pools, request_bytes: bytes):
    assert pools.call(PREDICT, request_bytes) in {"a-1", "a-2"}


def test_names_and_nodes_move_under_load_and_no_request_fails(pools: Pools):
    stop = threading.Event()

    def ask(one: Callable[[str], str], name: str) -> set[str]:
        seen = set()
        while not stop.is_set():
            seen.add(one(name))
        return seen

    new = Replica("c-1", "huge")
    pools.replicas.append(new)
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, pools.by_rest, "aa.moves"), threads.submit(ask, pools.by_grpc, "bb.moves")]
        try:
            pools.list(pools.replicas)
            pools.place({**NAMES, "aa.moves": "large", "bb.moves": "huge"})
            with httpx.Client(base_url=f"http://{pools.rest}", timeout=60, trust_env=False) as looking:
                path = "/v1/models/bb.moves:predict"
                pools.until(lambda: looking.post(path, json={}).json().get("predictions") == "c-1")
            pools.until(lambda: pools.by_grpc("aa.moves") == "b-1")
        finally:
            stop.set()
        seen = [each.result(60) for each in asking]
    assert "b-1" in seen[0]
    assert "c-1" in seen[1]


def test_a_broken_placement_changes_nothing(pools: Pools):
    pools.place({"ua": "large"})
    pools.until(lambda: "served name 'ua' is not valid" in pools.log.read_text())
    assert pools.by_rest("dl.default") == "b-1"
    pools.place(NAMES)
