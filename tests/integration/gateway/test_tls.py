"""TLS and mutual TLS on both doors."""

from __future__ import annotations

import socket
import ssl
import warnings
from pathlib import Path

import grpc
import httpx
import pytest

from roost.contracts.errors import SettingsInvalid
from roost.settings import GatewaySettings
from serving.gateway.render import render
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.running import configured, logged, started
from tests.integration.gateway.secured import (
    REQUEST,
    Secured,
    asked_by_grpc,
    asked_by_rest,
    await_that,
    handshake,
)
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration


def test_both_doors_speak_tls_and_no_longer_plainly(tls: Secured, tmp_path: Path):
    assert asked_by_rest(tls, None, tmp_path) == 200
    assert asked_by_grpc(tls, None) == "OK"
    with pytest.raises(httpx.TransportError):
        tls.gateway.client.post(PATH, json={})
    with pytest.raises(grpc.RpcError) as caught:
        tls.gateway.call(PREDICT, REQUEST, seconds=60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("door", "offered", "agreed"), [("rest", ["h2"], "h2"), ("rest", ["http/1.1"], "http/1.1"), ("grpc", ["h2"], "h2")]
)
def test_the_protocol_is_agreed_in_thehandshake(
    tls: Secured, tmp_path: Path, door: str, offered: list[str], agreed: str
):
    context = tls.context(None, tmp_path)
    context.set_alpn_protocols(offered)

    with handshake(tls, context, door=door) as connection:
        assert connection.selected_alpn_protocol() == agreed
        assert connection.version() == "TLSv1.3"


def test_below_tls_1_2_there_is_nohandshake(tls: Secured, tmp_path: Path):
    context = tls.context(None, tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    # Python warns of what this test is about.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|unsupported protocol"), handshake(tls, context):
        pass


def test_a_client_that_never_ends_its_handshake_is_hung_up_on(model_server: StandIn, tmp_path: Path):
    """The time limit of handshakes, set short here; ten seconds in earnest."""
    Authority("servers").pair("gateway").write(tmp_path / "tls.crt", tmp_path / "tls.key")
    settings = GatewaySettings(tls_cert_file=tmp_path / "tls.crt", tls_key_file=tmp_path / "tls.key")
    config = configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)
    rendered = render(config)
    hasty = rendered.replace('"transport_socket_connect_timeout": "10s"', '"transport_socket_connect_timeout": "0.3s"')
    assert hasty != rendered

    with started(config, hasty):
        for address in (config.rest, config.grpc):
            host, port = address.split(":")
            with socket.create_connection((host, int(port)), timeout=60) as silent:
                assert silent.recv(1) == b""


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
        return [line for line in logged(log) if line["certificate"] == "CN=app-of-the-log"]

    await_that(lambda: {entry["api"] for entry in entries()} == {"rest", "grpc"})


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
