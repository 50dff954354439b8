"""Certificates and authorities that change while connections are open."""

from __future__ import annotations

import http.client
from pathlib import Path

import httpx
import pytest

from roost.settings import GatewaySettings
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.running import configured, running
from tests.integration.gateway.secured import (
    REQUEST,
    Secured,
    asked_by_grpc,
    asked_by_rest,
    await_that,
    name_of,
    shown,
)
from tests.integration.gateway.stand_in import StandIn

pytestmark = pytest.mark.integration


def test_a_replaced_certificate_is_shown_to_new_connections_and_old_ones_go_on(tls: Secured, tmp_path: Path):
    host, port = tls.gateway.config.rest.split(":")
    old = http.client.HTTPSConnection(host, int(port), context=tls.context(None, tmp_path), timeout=60)
    old.connect()
    with tls.channel(None) as channel:
        channel.unary_unary(PREDICT)(REQUEST, timeout=60)
        assert shown(tls, tmp_path) == "first"

        # The two files never change at one instant: with one of them new, the old pair goes on.
        half = tls.servers.pair("half")
        half.write(tmp_path / "unused.crt", tls.key)
        assert shown(tls, tmp_path) == "first"
        tls.servers.pair("second").write(tls.certificate, tls.key)

        await_that(lambda: shown(tls, tmp_path) == "second")
        old.request("POST", PATH, body=b"{}")
        assert old.getresponse().status == 200
        assert old.sock is not None
        assert name_of(old.sock.getpeercert(binary_form=True)) == "first"  # type: ignore[attr-defined]  # a TLS socket
        assert channel.unary_unary(PREDICT)(REQUEST, timeout=60)
    assert asked_by_grpc(tls, None) == "OK"
    old.close()


def test_a_secret_that_kubernetes_replaces_is_noticed(model_server: StandIn, tmp_path: Path):
    """Kubernetes mounts files as links into a directory that is itself a link, and swaps only that one."""
    authority, mount = Authority("servers"), tmp_path / "mount"
    mount.mkdir()

    def swap(name: str) -> None:
        (mount / f"..{name}").mkdir()
        authority.pair(name).write(mount / f"..{name}" / "tls.crt", mount / f"..{name}" / "tls.key")
        (mount / "..data_tmp").symlink_to(f"..{name}")
        (mount / "..data_tmp").replace(mount / "..data")

    swap("first")
    for file in ("tls.crt", "tls.key"):
        (mount / file).symlink_to(f"..data/{file}")
    settings = GatewaySettings(tls_cert_file=mount / "tls.crt", tls_key_file=mount / "tls.key")
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        secured = Secured(
            gateway=it, servers=authority, clients=authority, certificate=mount / "tls.crt", key=mount / "tls.key"
        )
        assert shown(secured, tmp_path) == "first"

        swap("second")

        await_that(lambda: shown(secured, tmp_path) == "second")


def test_a_client_authority_that_is_replaced_counts_for_new_connections(mutual: Secured, tmp_path: Path):
    fresh, file = Authority("next clients"), mutual.gateway.config.settings.tls_client_ca_file
    assert file is not None
    with pytest.raises(httpx.TransportError):
        asked_by_rest(mutual, fresh.pair("app-7"), tmp_path)

    (tmp_path / "both.pem").write_bytes(mutual.clients.certificate + fresh.certificate)
    (tmp_path / "both.pem").replace(file)

    await_that(lambda: asked_by_grpc(mutual, fresh.pair("app-7")) == "OK")
    assert asked_by_rest(mutual, mutual.clients.pair("app-7"), tmp_path) == 200
