"""Who asks gateways that speak TLS: the deployer, and a node that copies requests."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from roost.adapters.grpc_tls import ClientTls
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import ModelServerUnavailable, Permanent, SettingsInvalid
from roost.settings import ServingSettings
from serving.gateway.render import render
from serving.gateway.table import Mirror, RoutingTable
from tests.integration.gateway.asking import PATH, PREDICT
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.running import Running, configured, started
from tests.integration.gateway.secured import REQUEST, Secured, await_that
from tests.integration.gateway.stand_in import StandIn

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
            predictor.predict(address, "ua.default", {}, version=1, signature="", deadline=60)
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

    def asked(it: Running) -> int:
        assert it.client.post(PATH, json={}).status_code == 200
        assert it.call(PREDICT, REQUEST)
        return 2

    before = copied()
    with started(config, render(config, table)) as it:
        after = before + asked(it)
        await_that(lambda: copied() == after)

    # With a certificate that the candidate does not know no copy arrives, and no caller notices; with the right one all.
    Authority("clients").pair("node-1").write(tmp_path / "own.pem", tmp_path / "own.key")
    with started(config, render(config, table)) as it:
        asked(it)
        mutual.clients.pair("node-1").write(tmp_path / "own.pem", tmp_path / "own.key")
        await_that(lambda: bool(asked(it)) and copied() > after)


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
