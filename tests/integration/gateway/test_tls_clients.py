"""Who asks gateways that speak TLS: the deployer, and a front."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from roost.adapters.grpc_tls import ClientTls
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
from serving.gateway.table import Mirror, RoutingTable
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.replica import Replica
from tests.integration.gateway.running import configured, started
from tests.integration.gateway.secured import (
    REQUEST,
    Secured,
    asked_by_grpc,
    asked_by_rest,
    await_that,
)
from tests.integration.gateway.stand_in import StandIn
from tests.parts import free_port

pytestmark = pytest.mark.integration


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
            await_that(lambda: _asked_or_none(seen_there, tmp_path) == 200)
            assert asked_by_grpc(seen_there, None) == "OK"
        finally:
            process.terminate()
            process.wait(10)
            replica.close()


def test_copies_reach_a_candidate_whose_gateway_speaks_tls(mutual: Secured, model_server: StandIn, tmp_path: Path):
    (tmp_path / "ca.pem").write_bytes(mutual.servers.certificate)
    mutual.clients.pair("node-1").write(tmp_path / "own.pem", tmp_path / "own.key")
    trust = ClientTls(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "own.pem", key_file=tmp_path / "own.key")
    where = mutual.gateway.config
    table = RoutingTable(mirrors={"ua.default": Mirror(percent=100, rest=where.rest, grpc=where.grpc)})
    config = replace(configured(tmp_path, socket=model_server.socket, rest=model_server.rest), tls=trust)

    def copied() -> int:
        """Answers that the candidate's gateway gave on its two doors."""
        labels = 'envoy_response_code_class="2",envoy_http_conn_manager_prefix="(?:rest|grpc)"'
        return sum(map(int, re.findall(rf"downstream_rq_xx{{{labels}}} (\d+)", mutual.gateway.admin.stats())))

    before = copied()
    with started(config, render(config, table)) as it:
        assert it.client.post(PATH, json={}).status_code == 200
        assert it.call(PREDICT, REQUEST)

        await_that(lambda: copied() == before + 2)


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
