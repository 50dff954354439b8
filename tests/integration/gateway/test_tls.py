"""TLS and mutual TLS on both doors, and certificates that change while connections are open."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509

from roost.adapters.grpc_tls import ClientTls
from roost.adapters.tf_messages import predict_pb2
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import ModelServerUnavailable, Permanent, SettingsInvalid
from roost.ports.clock import SystemClock
from roost.ports.serving import NodeAddress
from roost.settings import GatewaySettings, ServingSettings
from serving.gateway import binary
from serving.gateway.admin import GatewayAdmin
from serving.gateway.front import FrontConfig, front
from serving.gateway.live import LiveFiles
from serving.gateway.render import render
from tests.integration.gateway.authorities import Authority, Pair
from tests.integration.gateway.replica import Replica
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.stand_in import StandIn
from tests.parts import free_port

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATH = "/v1/models/ua.default:predict"
REQUEST = predict_pb2.PredictRequest(model_spec={"name": "ua.default"}).SerializeToString()


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A gateway with TLS, and what it takes to speak to it."""

    gateway: Running
    servers: Authority
    clients: Authority
    certificate: Path
    key: Path

    def context(self, pair: Pair | None, directory: Path) -> ssl.SSLContext:
        """Of a client that trusts the gateway's authority, and shows `pair`."""
        context = ssl.create_default_context(cadata=self.servers.certificate.decode())
        if pair:
            certificate, key = directory / "client.pem", directory / "client.key"
            pair.write(certificate, key)
            context.load_cert_chain(certificate, key)
        return context

    def channel(self, pair: Pair | None) -> grpc.Channel:
        """The same for gRPC."""
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.servers.certificate,
            private_key=pair.key if pair else None,
            certificate_chain=pair.certificate if pair else None,
        )
        return grpc.secure_channel(self.gateway.config.grpc, credentials)


def _secured(directory: Path, model_server: StandIn, *, mutual: bool) -> Iterator[Secured]:
    servers, clients = Authority("servers"), Authority("clients")
    certificate, key = directory / "tls.crt", directory / "tls.key"
    servers.pair("first").write(certificate, key)
    (directory / "clients.pem").write_bytes(clients.certificate)
    settings = GatewaySettings(
        tls_cert_file=certificate,
        tls_key_file=key,
        tls_client_ca_file=directory / "clients.pem" if mutual else None,
        access_log=directory / "access.log",
    )
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield Secured(gateway=it, servers=servers, clients=clients, certificate=certificate, key=key)


@pytest.fixture(scope="module")
def tls(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    yield from _secured(tmp_path_factory.mktemp("tls"), model_server, mutual=False)


@pytest.fixture(scope="module")
def mutual(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    yield from _secured(tmp_path_factory.mktemp("mutual"), model_server, mutual=True)


def asked_by_rest(secured: Secured, pair: Pair | None, directory: Path) -> int:
    with httpx.Client(verify=secured.context(pair, directory), timeout=10) as client:
        return client.post(f"https://{secured.gateway.config.rest}{PATH}", json={}).status_code


def asked_by_grpc(secured: Secured, pair: Pair | None) -> str:
    with secured.channel(pair) as channel:
        try:
            channel.unary_unary(PREDICT)(REQUEST, timeout=10)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def test_both_doors_speak_tls_and_no_longer_plainly(tls: Secured, tmp_path: Path):
    assert asked_by_rest(tls, None, tmp_path) == 200
    assert asked_by_grpc(tls, None) == "OK"
    with pytest.raises(httpx.TransportError):
        tls.gateway.client.post(PATH, json={})
    with pytest.raises(grpc.RpcError) as caught:
        tls.gateway.call(PREDICT, REQUEST, seconds=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("door", "offered", "agreed"), [("rest", ["h2"], "h2"), ("rest", ["http/1.1"], "http/1.1"), ("grpc", ["h2"], "h2")]
)
def test_the_protocol_is_agreed_in_the_handshake(
    tls: Secured, tmp_path: Path, door: str, offered: list[str], agreed: str
):
    context = tls.context(None, tmp_path)
    context.set_alpn_protocols(offered)

    with _handshake(tls, context, door=door) as connection:
        assert connection.selected_alpn_protocol() == agreed
        assert connection.version() == "TLSv1.3"


def test_below_tls_1_2_there_is_no_handshake(tls: Secured, tmp_path: Path):
    context = tls.context(None, tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    # Python warns of what this test is about.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|unsupported protocol"), _handshake(tls, context):
        pass


def test_a_replaced_certificate_is_shown_to_new_connections_and_old_ones_go_on(tls: Secured, tmp_path: Path):
    host, port = tls.gateway.config.rest.split(":")
    old = http.client.HTTPSConnection(host, int(port), context=tls.context(None, tmp_path), timeout=10)
    old.connect()
    with tls.channel(None) as channel:
        channel.unary_unary(PREDICT)(REQUEST, timeout=10)
        assert _shown(tls, tmp_path) == "first"

        # The two files never change at one instant: with one of them new, the old pair goes on.
        half = tls.servers.pair("half")
        half.write(tmp_path / "unused.crt", tls.key)
        assert _shown(tls, tmp_path) == "first"
        tls.servers.pair("second").write(tls.certificate, tls.key)

        _await(lambda: _shown(tls, tmp_path) == "second")
        old.request("POST", PATH, body=b"{}")
        assert old.getresponse().status == 200
        assert old.sock is not None
        assert _name(old.sock.getpeercert(binary_form=True)) == "first"  # type: ignore[attr-defined]  # a TLS socket
        assert channel.unary_unary(PREDICT)(REQUEST, timeout=10)
    assert asked_by_grpc(tls, None) == "OK"
    old.close()


def test_mutual_tls_lets_in_who_shows_a_certificate_of_the_authority_and_nobody_else(mutual: Secured, tmp_path: Path):
    own, foreign = mutual.clients.pair("app-7"), Authority("clients").pair("app-7")

    assert asked_by_rest(mutual, own, tmp_path) == 200
    assert asked_by_grpc(mutual, own) == "OK"
    for refused in (None, foreign, mutual.servers.pair("app-7")):
        with pytest.raises(httpx.TransportError):
            asked_by_rest(mutual, refused, tmp_path)
        assert asked_by_grpc(mutual, refused) == "UNAVAILABLE"
    assert asked_by_rest(mutual, own, tmp_path) == 200


def test_the_access_log_names_the_subject_of_the_certificate(mutual: Secured, tmp_path: Path):
    pair = mutual.clients.pair("app-of-the-log")
    asked_by_rest(mutual, pair, tmp_path)
    asked_by_grpc(mutual, pair)
    log = mutual.gateway.config.settings.access_log
    assert log is not None

    def entries() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["certificate"] == "CN=app-of-the-log"]

    _await(lambda: {entry["api"] for entry in entries()} == {"rest", "grpc"})


def test_a_client_authority_that_is_replaced_counts_for_new_connections(mutual: Secured, tmp_path: Path):
    fresh, file = Authority("next clients"), mutual.gateway.config.settings.tls_client_ca_file
    assert file is not None
    with pytest.raises(httpx.TransportError):
        asked_by_rest(mutual, fresh.pair("app-7"), tmp_path)

    (tmp_path / "both.pem").write_bytes(mutual.clients.certificate + fresh.certificate)
    (tmp_path / "both.pem").replace(file)

    _await(lambda: asked_by_grpc(mutual, fresh.pair("app-7")) == "OK")
    assert asked_by_rest(mutual, mutual.clients.pair("app-7"), tmp_path) == 200


def test_the_deployers_client_follows_its_own_certificate_when_it_is_replaced(mutual: Secured, tmp_path: Path):
    files = {name: tmp_path / name for name in ("ca.pem", "own.pem", "own.key")}
    files["ca.pem"].write_bytes(mutual.servers.certificate)
    Authority("clients").pair("expired, say").write(files["own.pem"], files["own.key"])
    settings = ServingSettings(
        predict_ca_file=files["ca.pem"], predict_cert_file=files["own.pem"], predict_key_file=files["own.key"]
    )
    predictor = TfServingPredictor(None, ClientTls.of(settings))
    address = mutual.gateway.config.grpc

    def outcome() -> str:
        try:
            predictor.predict(address, "ua.default", {}, version=1, signature="", deadline=5)
        except ModelServerUnavailable as error:
            return "not reached" if "UNAVAILABLE" in str(error) else str(error)
        except Permanent as error:
            return str(error)
        return "answered"

    try:
        assert outcome() == "not reached"
        mutual.clients.pair("deployer").write(files["own.pem"], files["own.key"])
        assert outcome() == "answered"
    finally:
        predictor.close()


def test_a_front_speaks_tls_to_clients_and_to_the_gateways_behind_it(mutual: Secured, tmp_path: Path):
    """Readiness is asked of the nodes' control ports, which speak plainly."""
    files = {name: tmp_path / name for name in ("ca.pem", "front.pem", "front.key")}
    files["ca.pem"].write_bytes(mutual.servers.certificate)
    mutual.clients.pair("front").write(files["front.pem"], files["front.key"])
    replica = Replica("node-1")
    config = FrontConfig(
        rest=f"127.0.0.1:{free_port()}",
        grpc=f"127.0.0.1:{free_port()}",
        nodes=[replace(replica.address, rest=mutual.gateway.config.rest, grpc=mutual.gateway.config.grpc)],
        admin_socket=tmp_path / "admin.sock",
        settings=GatewaySettings(tls_cert_file=mutual.certificate, tls_key_file=mutual.key),
        tls=ClientTls(ca_file=files["ca.pem"], cert_file=files["front.pem"], key_file=files["front.key"]),
    )
    before = replace(mutual.gateway, config=replace(mutual.gateway.config, rest=config.rest, grpc=config.grpc))
    seen_there = replace(mutual, gateway=before)
    file = LiveFiles(tmp_path / "live", GatewayAdmin(config.admin_socket), SystemClock()).start(front(config))
    binary.validate(file)
    with subprocess.Popen(binary.command(binary.find_envoy("auto"), file), stderr=subprocess.DEVNULL) as process:
        try:
            _await(lambda: _asked_or_none(seen_there, tmp_path) == 200)
            assert asked_by_grpc(seen_there, None) == "OK"
        finally:
            process.terminate()
            process.wait(10)
            replica.close()


def test_a_front_that_trusts_nobody_behind_it_does_not_start(mutual: Secured, tmp_path: Path):
    settings = GatewaySettings(tls_cert_file=mutual.certificate, tls_key_file=mutual.key)
    node = NodeAddress(node="n", pool="p", control="127.0.0.1:1", rest="127.0.0.1:2", grpc="127.0.0.1:3")

    with pytest.raises(SettingsInvalid, match="ROOST_SERVING__PREDICT_CA_FILE"):
        FrontConfig(
            rest="127.0.0.1:4", grpc="127.0.0.1:5", nodes=[node], admin_socket=tmp_path / "a.sock", settings=settings
        )


def _asked_or_none(secured: Secured, directory: Path) -> int | None:
    try:
        return asked_by_rest(secured, None, directory)
    except httpx.TransportError:
        return None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"predict_ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read"),
        ({"predict_cert_file": "/a"}, "predict_cert_file and predict_key_file belong together"),
        ({"predict_cert_file": "/a", "predict_key_file": "/b"}, "without predict_ca_file"),
    ],
)
def test_settings_of_the_deployers_client_that_cannot_be_used_are_named(settings: dict[str, str], words: str):
    with pytest.raises(SettingsInvalid, match=words):
        ClientTls.of(ServingSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("certificate missing", r"tls_cert_file .*tls\.crt does not hold PEM certificates: .*No such file"),
        ("certificate broken", r"tls_cert_file .*tls\.crt does not hold PEM certificates"),
        ("key broken", r"tls_key_file .*tls\.key does not hold an unencrypted PEM private key"),
        ("key of another", r"tls_key_file .*tls\.key does not belong to the certificate in .*tls\.crt"),
        ("authority broken", r"tls_client_ca_file .*clients\.pem does not hold PEM certificates"),
    ],
)
def test_files_that_cannot_be_used_are_named_before_anything_starts(tmp_path: Path, broken: str, words: str):
    authority = Authority("servers")
    files = {name: tmp_path / name for name in ("tls.crt", "tls.key", "clients.pem")}
    authority.pair("gateway").write(files["tls.crt"], files["tls.key"])
    files["clients.pem"].write_bytes(authority.certificate)
    {
        "certificate missing": files["tls.crt"].unlink,
        "certificate broken": lambda: files["tls.crt"].write_text("no certificate"),
        "key broken": lambda: files["tls.key"].write_text("no key"),
        "key of another": lambda: files["tls.key"].write_bytes(authority.pair("another").key),
        "authority broken": lambda: files["clients.pem"].write_text("-----BEGIN CERTIFICATE-----\nxx"),
    }[broken]()
    settings = GatewaySettings(
        tls_cert_file=files["tls.crt"], tls_key_file=files["tls.key"], tls_client_ca_file=files["clients.pem"]
    )

    with pytest.raises(SettingsInvalid, match=words):
        render(configured(tmp_path, socket=tmp_path / "s", rest="127.0.0.1:1", settings=settings))


@contextmanager
def _handshake(secured: Secured, context: ssl.SSLContext, *, door: str = "rest") -> Iterator[ssl.SSLSocket]:
    address = secured.gateway.config.rest if door == "rest" else secured.gateway.config.grpc
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def _shown(secured: Secured, directory: Path) -> str:
    """Whose certificate a new connection is shown."""
    with _handshake(secured, secured.context(None, directory)) as connection:
        return _name(connection.getpeercert(binary_form=True))


def _name(certificate: bytes | None) -> str:
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string().removeprefix("CN=")


def _await(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
