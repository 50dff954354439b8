"""A gateway with TLS, and clients of it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
from cryptography import x509

from roost.adapters.tf_messages import predict_pb2
from roost.settings import GatewaySettings
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority, Pair
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.stand_in import StandIn

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


@contextmanager
def a_secured_gateway(directory: Path, model_server: StandIn, *, mutual: bool) -> Iterator[Secured]:
    """A running one; `mutual` if it asks for certificates of `clients`."""
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


def asked_by_rest(secured: Secured, pair: Pair | None, directory: Path) -> int:
    with httpx.Client(verify=secured.context(pair, directory), timeout=60) as client:
        return client.post(f"https://{secured.gateway.config.rest}{PATH}", json={}).status_code


def asked_by_grpc(secured: Secured, pair: Pair | None) -> str:
    with secured.channel(pair) as channel:
        try:
            channel.unary_unary(PREDICT)(REQUEST, timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


@contextmanager
def handshake(secured: Secured, context: ssl.SSLContext, *, door: str = "rest") -> Iterator[ssl.SSLSocket]:
    address = secured.gateway.config.rest if door == "rest" else secured.gateway.config.grpc
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def shown(secured: Secured, directory: Path) -> str:
    """Whose certificate a new connection is shown."""
    with handshake(secured, secured.context(None, directory)) as connection:
        return name_of(connection.getpeercert(binary_form=True))


def name_of(certificate: bytes | None) -> str:
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string().removeprefix("CN=")


def await_that(holds: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.02)
