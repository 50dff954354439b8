"""The front before a pool's replicas: the ready ones answer, and one that dies is not noticed. Real Envoy."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from roost.contracts.errors import SettingsInvalid
from roost.settings import GatewaySettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.configuration import as_text
from serving.gateway.front import FrontConfig
from serving.gateway.front import front as configured_front
from tests.integration.gateway.replica import Replica
from tests.parts import free_port

pytestmark = pytest.mark.integration


@dataclass
class Front:
    """A running front and its replicas."""

    client: httpx.Client
    channel: grpc.Channel
    replicas: list[Replica]
    answered: list[str] = field(default_factory=list)

    def ask(self) -> httpx.Response:
        return self.client.post("/v1/models/ua.default:predict", json={"instances": [1]})

    def ask_grpc(self) -> str:
        answer: bytes = self.channel.unary_unary("/roost.test/Ask")(b"", timeout=60)
        return answer.decode()

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.05)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    replicas = [Replica(f"node-{number}") for number in (1, 2, 3)]
    config = FrontConfig(
        rest=f"127.0.0.1:{free_port()}",
        grpc=f"127.0.0.1:{free_port()}",
        nodes=[replica.address for replica in replicas],
        admin_socket=tmp_path / "admin.sock",
        settings=GatewaySettings(),
    )
    file = tmp_path / "front.json"
    # A replica's answer of whether it is ready may be late here: that is this machine's business, and not the front's.
    patient = as_text(configured_front(config).whole()).replace('"timeout": "1s"', '"timeout": "60s"')
    file.write_text(patient)
    binary.validate(file)
    command = binary.command(binary.find_envoy("auto"), file)
    admin = GatewayAdmin(config.admin_socket)
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://{config.rest}", timeout=60, trust_env=False) as client,
        grpc.insecure_channel(config.grpc) as channel,
    ):
        found = Front(client=client, channel=channel, replicas=replicas)
        try:
            found.until(admin.ready)
            found.until(lambda: found.ask().status_code == 200)
            # A replica is asked once it was found ready.
            found.until(lambda: len({found.ask().json()["predictions"] for _ in range(9)}) == 3)
            yield found
        finally:
            process.terminate()
            process.wait(60)
            for replica in replicas:
                replica.close()


def test_all_ready_replicas_answer_by_rest_and_by_grpc(front: Front) -> None:
    assert len({front.ask().json()["predictions"] for _ in range(9)}) == 3
    front.until(lambda: len({front.ask_grpc() for _ in range(9)}) == 3)


def test_a_replica_that_is_not_ready_is_asked_nothing(front: Front) -> None:
    away = front.replicas[0]
    away.ready = False
    front.until(lambda: "node-1" not in {front.ask().json()["predictions"] for _ in range(9)})
    before = away.asked
    assert all(front.ask().status_code == 200 for _ in range(30))
    assert away.asked == before
    away.ready = True
    front.until(lambda: "node-1" in {front.ask().json()["predictions"] for _ in range(9)})


def test_a_request_that_breaks_off_is_asked_of_another_replica(front: Front) -> None:
    front.replicas[1].broken = True
    answers = [front.ask() for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200}
    assert front.replicas[1].asked > 0, "the broken one was asked, and nobody noticed"
    assert "node-2" not in {answer.json()["predictions"] for answer in answers}


def test_a_request_that_breaks_every_replica_is_not_asked_for_ever(front: Front) -> None:
    for replica in front.replicas:
        replica.broken, replica.asked = True, 0
    refused = front.ask()
    assert refused.status_code >= 500
    assert "error" in refused.json()
    assert sum(replica.asked for replica in front.replicas) <= 3


def test_where_no_replica_is_ready_the_answer_says_so_in_the_servers_own_form(front: Front) -> None:
    for replica in front.replicas:
        replica.ready = False
    front.until(lambda: front.ask().status_code == 503)
    assert "no healthy upstream" in front.ask().json()["error"]
    with pytest.raises(grpc.RpcError) as refused:
        front.ask_grpc()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_front_without_nodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no node"):
        FrontConfig(
            rest="127.0.0.1:1",
            grpc="127.0.0.1:2",
            nodes=[],
            admin_socket=tmp_path / "admin.sock",
            settings=GatewaySettings(),
        )
