"""A front of two pools that speaks TLS on both sides, while its certificate changes. Real Envoy, real model servers."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc
import httpx
import numpy as np
import pytest
from cryptography import x509

from roost.adapters.tf_messages import predict_pb2, tensor_from_array
from roost.contracts.placement import Placement
from roost.settings import GatewaySettings
from serving.gateway.front import FrontConfig
from tests.integration.gateway.asking import PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.fronted import BothDoors, Files, Node, a_front, started
from tests.integration.gateway.secured import await_that
from tests.integration.model_server import built_models
from tests.integration.model_server.bases import labels, specific
from tests.integration.model_server.running import DROP_IN, config, starting

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]

#: Served name to its pool and its version, which is also the factor that it answers with.
NAMES: Final = {"ua.default": ("default", 2), "dl.default": ("large", 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Of the front; it trusts one authority."""

    front: FrontConfig
    authority: Authority

    def rest(self, path: str) -> httpx.Response:
        """On a connection of its own, which so sees the certificate of the moment."""
        trusted = ssl.create_default_context(cadata=self.authority.certificate.decode())
        with httpx.Client(verify=trusted, timeout=60, trust_env=False) as client:
            return client.post(f"https://{self.front.rest}/v1/models/{path}", json={"instances": [1.0]})

    def grpc(self, name: str, **spec: object) -> float:
        """The same by gRPC. Raises `grpc.RpcError`."""
        request = predict_pb2.PredictRequest(model_spec={"name": name, **spec})
        request.inputs["x"].CopyFrom(tensor_from_array(np.array([1.0], np.float32)))
        credentials = grpc.ssl_channel_credentials(root_certificates=self.authority.certificate)
        # Channels to one address with the same credentials would share a connection.
        alone = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(self.front.grpc, credentials, alone) as channel:
            answer = channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=60)
        return float(predict_pb2.PredictResponse.FromString(answer).outputs["y"].float_val[0])

    def ask(self, door: str, name: str) -> object:
        """What it answers."""
        if door == "grpc":
            return self.grpc(name)
        answer = self.rest(f"{name}:predict")
        return answer.json()["predictions"][0] if answer.status_code == 200 else answer.text

    def shown(self, door: str) -> str:
        """The name in the certificate that a new connection is shown."""
        host, port = (self.front.rest if door == "rest" else self.front.grpc).split(":")
        pem = ssl.get_server_certificate((host, int(port)), timeout=60)
        return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string().removeprefix("CN=")


class Asking(BothDoors):
    """Asks for every name on both doors without a pause, and keeps what was not as it should be."""

    def __init__(self, client: Client, wanted: Mapping[str, float]) -> None:
        super().__init__(partial(self._run, "rest"), partial(self._run, "grpc"))
        self._client, self._wanted = client, wanted

    def _run(self, door: str) -> None:
        while not self.over.is_set():
            for name, factor in self._wanted.items():
                try:
                    answer = self._client.ask(door, name)
                except (grpc.RpcError, httpx.TransportError) as error:
                    answer = repr(error)
                if answer != factor:
                    self.failures.append(f"{door} {name}: {answer}")
            self.answers[door] += 1


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Authority, Files]]:
    """The front, which speaks TLS, and behind it a gateway of each pool, which asks for its certificate."""
    directory = tmp_path_factory.mktemp("pools")
    built_models.copy_to(directory / "models")
    files, inside, outside = Files(directory), Authority("inside"), Authority("outside")
    files.trust(files.servers, inside)
    files.trust(files.clients, inside)
    inside.pair("node").write(files.certificate, files.key)
    inside.pair("front").write(files.own, files.own_key)
    doors = directory / "doors.pem", directory / "doors.key"
    outside.pair("first").write(*doors)
    with ExitStack() as stack:
        start, nodes = stack.enter_context(starting(DROP_IN)), []
        for name, (pool, version) in NAMES.items():
            text = config({name: directory / "models" / "scale"}, **{name: specific(version) + labels(stable=version)})
            server = start("--allow_version_labels_for_unavailable_models", models=text)
            rest = f"127.0.0.1:{server.rest_port}"
            nodes.append(Node(directory / pool, files, server.socket_path, rest, pool=pool))
            stack.callback(nodes[-1].close)
        placement = Placement(otherwise="default", names={name: pool for name, (pool, _) in NAMES.items()})
        settings = GatewaySettings(tls_cert_file=doors[0], tls_key_file=doors[1])
        front = a_front(directory, [node.address for node in nodes], files.front(), settings, placement)
        stack.enter_context(started(front, directory))
        yield Client(front=front, authority=outside), outside, files


def test_each_pool_answers_for_its_names_while_the_fronts_certificate_changes_and_no_request_fails(
    pools: tuple[Client, Authority, Files],
):
    client, outside, _ = pools
    settings = client.front.settings
    assert settings.tls_cert_file is not None
    assert settings.tls_key_file is not None
    with Asking(client, {name: float(version) for name, (_, version) in NAMES.items()}) as asking:
        asking.more(4, seconds=120)
        for fresh in ("second", "third"):
            outside.pair(fresh).write(settings.tls_cert_file, settings.tls_key_file)
            await_that(lambda fresh=fresh: {client.shown("rest"), client.shown("grpc")} == {fresh}, seconds=60)
            asking.more(4, seconds=120)
    assert asking.failures == []


@pytest.mark.parametrize("name", ["nobody.default", "dl.other"])
def test_a_name_that_no_pool_has_is_not_found_in_each_protocols_own_form(
    pools: tuple[Client, Authority, Files], name: str
):
    client, *_ = pools
    words = f"Servable not found for request: Specific({name}, 2)"

    answer = client.rest(f"{name}/versions/2:predict")
    with pytest.raises(grpc.RpcError) as refused:
        client.grpc(name, version={"value": 2})

    assert (answer.status_code, answer.json()) == (404, {"error": words})
    assert answer.headers["content-type"] == "application/json"
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.NOT_FOUND, words)
    # Where no version is named, the gateway's label is what is not there.
    assert client.rest(f"{name}:predict").json() == {"error": "Unrecognized servable version label: stable"}
    assert client.ask("rest", "dl.default") == client.ask("grpc", "dl.default") == 3.0


def test_a_pool_is_asked_by_nobody_who_cannot_show_its_certificate(pools: tuple[Client, Authority, Files]):
    """A client that goes past the front, with the authority's certificate and none of its own."""
    client, _, files = pools
    for node in client.front.nodes:
        trusted = ssl.create_default_context(cafile=str(files.servers))
        with httpx.Client(verify=trusted, timeout=60, trust_env=False) as past, pytest.raises(httpx.TransportError):
            past.post(f"https://{node.rest}/v1/models/ua.default:predict", json={"instances": [1.0]})
