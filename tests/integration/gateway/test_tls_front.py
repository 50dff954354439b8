"""A front before gateways that ask for its certificate: pairs and authorities change, no request fails. Real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest

from roost.contracts.errors import SettingsInvalid
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings
from serving.gateway.front import FrontConfig, front
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.fronted import BothDoors, Files, Node, a_front, healthy, started, taken_up
from tests.integration.gateway.replica import Replica
from tests.integration.gateway.secured import REQUEST, Secured, asked_by_grpc, asked_by_rest, await_that
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration


class Asking(BothDoors):
    """Asks the front on both doors without a pause, and keeps what failed."""

    def __init__(self, config: FrontConfig) -> None:
        super().__init__(self._by_rest, self._by_grpc)
        #: What is being done, for whoever reads a failure.
        self.now = "before anything"
        self._config = config

    def _by_rest(self) -> None:
        with httpx.Client(base_url=f"http://{self._config.rest}", timeout=60, trust_env=False) as client:
            while not self.over.wait(0.01):
                answer = client.post(PATH, json={})
                self._told("rest", "" if answer.status_code == 200 else answer.text)

    def _by_grpc(self) -> None:
        with grpc.insecure_channel(self._config.grpc) as channel:
            while not self.over.wait(0.01):
                try:
                    channel.unary_unary(PREDICT)(REQUEST, timeout=60)
                except grpc.RpcError as error:
                    self._told("grpc", str(error.details()))
                else:
                    self._told("grpc", "")

    def _told(self, door: str, failure: str) -> None:
        self.answers[door] += 1
        self.failures += [f"{self.now} {door}: {failure}"] if failure else []


def test_pairs_and_authorities_between_a_front_and_its_gateways_are_replaced_and_no_request_fails(
    model_server: StandIn, tmp_path: Path
):
    """In the order in which it has to be done: trust the next authority, show its certificate, forget the last one."""
    files, old, new = Files(tmp_path), Authority("old"), Authority("new")
    for file in (files.servers, files.clients):
        files.trust(file, old)
    old.pair("node").write(files.certificate, files.key)
    old.pair("front-1").write(files.own, files.own_key)
    with ExitStack() as stack:
        nodes = [Node(tmp_path / f"node-{number}", files, model_server.socket, model_server.rest) for number in (1, 2)]
        for node in nodes:
            stack.callback(node.close)
        config = a_front(tmp_path, [node.address for node in nodes], files.front(), GatewaySettings())
        admin, live = stack.enter_context(started(config, tmp_path))
        asking = stack.enter_context(Asking(config))
        await_that(lambda: all(node.asked_by("front-1") for node in nodes), seconds=60)

        def rolled(now: str) -> None:
            for node in nodes:
                await_that(lambda: healthy(admin), seconds=60)
                asking.now = f"{now}: {node.address.node} restarts"
                node.restart()
            await_that(lambda: healthy(admin), seconds=60)
            asking.more(20, seconds=60)

        @contextmanager
        def followed(now: str) -> Iterator[None]:
            asking.now, seen = now, taken_up(admin)
            yield
            # Each of the two doors.
            await_that(lambda: taken_up(admin) >= seen + 2, seconds=60)

        files.trust(files.clients, old, new)
        with followed("the next authority is trusted"):
            files.trust(files.servers, old, new)
        rolled("the next authority is trusted")

        with followed("the front's pair is new"):
            new.pair("front-2").write(files.own, files.own_key)
        asking.now = "the gateways' pair is new"
        new.pair("node").write(files.certificate, files.key)
        await_that(lambda: all(node.signed_by() == "new" for node in nodes), seconds=60)
        with followed("the last authority is forgotten"):
            files.trust(files.servers, new)
        files.trust(files.clients, new)
        rolled("the last authority is forgotten")
        # What is put together anew while it runs shows the new pair, too.
        asking.now = "the front follows other nodes"
        live.change(front(replace(config, nodes=config.nodes[:1])))
        asking.more(20, seconds=60)
        live.change(front(config))
        asking.more(20, seconds=60)
        await_that(lambda: all(node.asked_by("front-2") for node in nodes), seconds=60)

    assert asking.failures == []
    assert min(asking.answers.values()) > 40


def test_a_front_that_shows_what_its_gateways_do_not_know_is_answered_once_it_shows_the_right_one(
    mutual: Secured, tmp_path: Path
):
    files, replica = Files(tmp_path), Replica("node-1")
    files.trust(files.servers, mutual.servers)
    Authority("clients").pair("front").write(files.own, files.own_key)
    where = mutual.gateway.config
    node = replace(replica.address, rest=where.rest, grpc=where.grpc)
    config = a_front(tmp_path, [node], files.front(), GatewaySettings())
    url = f"http://{config.rest}{PATH}"
    try:
        with started(config, tmp_path) as (admin, _), httpx.Client(timeout=60, trust_env=False) as client:
            assert client.post(url, json={}).status_code == 503

            seen = taken_up(admin)
            mutual.clients.pair("front").write(files.own, files.own_key)

            await_that(lambda: taken_up(admin) >= seen + 2)
            assert client.post(url, json={}).status_code == 200
    finally:
        replica.close()


def test_a_front_speaks_tls_to_clients_and_to_the_gateways_behind_it(mutual: Secured, tmp_path: Path):
    """Readiness is asked of the nodes' control ports, which speak plainly."""
    files, replica = Files(tmp_path), Replica("node-1")
    files.trust(files.servers, mutual.servers)
    mutual.clients.pair("front").write(files.own, files.own_key)
    node = replace(replica.address, rest=mutual.gateway.config.rest, grpc=mutual.gateway.config.grpc)
    settings = GatewaySettings(tls_cert_file=mutual.certificate, tls_key_file=mutual.key)
    config = a_front(tmp_path, [node], files.front(), settings)
    before = replace(mutual.gateway, config=replace(mutual.gateway.config, rest=config.rest, grpc=config.grpc))
    seen_there = replace(mutual, gateway=before)
    try:
        with started(config, tmp_path):
            assert asked_by_rest(seen_there, None, tmp_path) == 200
            assert asked_by_grpc(seen_there, None) == "OK"
    finally:
        replica.close()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("servers.pem", r"predict_ca_file .*servers\.pem does not hold PEM certificates"),
        ("own.pem", r"predict_cert_file .*own\.pem does not hold PEM certificates"),
        ("own.key", r"predict_key_file .*own\.key does not hold an unencrypted PEM private key"),
        ("a pair of two", r"predict_key_file .*own\.key does not belong to the certificate in .*own\.pem"),
    ],
)
def test_what_a_front_cannot_use_towards_its_gateways_is_named_before_it_starts(
    tmp_path: Path, broken: str, words: str
):
    files, authority = Files(tmp_path), Authority("servers")
    files.trust(files.servers, authority)
    authority.pair("front").write(files.own, files.own_key)
    if broken == "a pair of two":
        files.own_key.write_bytes(authority.pair("another").key)
    else:
        (tmp_path / broken).write_text("nothing")
    node = NodeAddress(node="n", pool="p", control="127.0.0.1:1", rest="127.0.0.1:2", grpc="127.0.0.1:3")

    with pytest.raises(SettingsInvalid, match=words):
        a_front(tmp_path, [node], files.front(), GatewaySettings())


def test_a_front_that_trusts_nobody_behind_it_does_not_start(mutual: Secured, tmp_path: Path):
    settings = GatewaySettings(tls_cert_file=mutual.certificate, tls_key_file=mutual.key)
    node = NodeAddress(node="n", pool="p", control="127.0.0.1:1", rest="127.0.0.1:2", grpc="127.0.0.1:3")

    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__PREDICT_CA_FILE"):
        FrontConfig(
            rest="127.0.0.1:4", grpc="127.0.0.1:5", nodes=[node], admin_socket=tmp_path / "a.sock", settings=settings
        )
