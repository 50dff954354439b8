"""A node whose gateway asks for certificates and tokens, and the deployer's way through it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from roost.adapters.grpc_tls import ClientTls
from roost.adapters.tf_serving import TfServingPredictor
from roost.contracts.errors import ModelServerUnavailable, Permanent
from serving.gateway.tokens import Grant, SigningKey, key_set, mint
from tests.integration.gateway.authorities import Authority
from tests.integration.node.world import RunningNode, Shelf

pytestmark = [pytest.mark.integration, pytest.mark.tensorflow]


def test_a_node_serves_by_tls_to_whom_it_trusts_and_the_deployer_proves_a_version_through_it(
    shelf: Shelf, make_node: Callable[..., RunningNode], tmp_path: Path
):
    authority, key = Authority("own"), SigningKey.create()
    files = {name: tmp_path / name for name in ("tls.crt", "tls.key", "ca.pem", "jwks.json", "access.log")}
    authority.pair("gateway").write(files["tls.crt"], files["tls.key"])
    files["ca.pem"].write_bytes(authority.certificate)
    files["jwks.json"].write_text(key_set([key]))
    shelf.put("ua.default", 1, "two")
    generation = shelf.desire({"ua.default": ([1], {"stable": 1})})
    node = make_node(
        ROOST_GATEWAY__TLS_CERT_FILE=str(files["tls.crt"]),
        ROOST_GATEWAY__TLS_KEY_FILE=str(files["tls.key"]),
        ROOST_GATEWAY__TLS_CLIENT_CA_FILE=str(files["ca.pem"]),
        ROOST_GATEWAY__JWKS_FILE=str(files["jwks.json"]),
        ROOST_GATEWAY__CHOICES="[]",
        ROOST_GATEWAY__ACCESS_LOG=str(files["access.log"]),
    )
    node.start()
    node.settle(generation, nudge=False)
    node.await_ready()

    trusted = ClientTls(ca_file=files["ca.pem"], cert_file=files["tls.crt"], key_file=files["tls.key"])
    assert _answer(node, trusted, _token(key, labels=("*",)), version=1) == 2.0
    assert _answer(node, trusted, _token(key), version=None) == 2.0
    with pytest.raises(Permanent, match="not for the caller to choose"):
        _answer(node, trusted, _token(key), version=1)
    with pytest.raises(Permanent, match="Jwt is missing"):
        _answer(node, trusted, None, version=None)
    with pytest.raises(ModelServerUnavailable):
        _answer(node, ClientTls(ca_file=files["ca.pem"]), _token(key), version=None)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{node.address.rest}/healthz", trust_env=False, timeout=60)
    assert node.stop() == 0
    logged = [json.loads(line) for line in files["access.log"].read_text().splitlines()]
    assert {(line["subject"], line["certificate"], line["customer"]) for line in logged if line["customer"]} == {
        ("deployer", "CN=gateway", "ua")
    }


def _token(key: SigningKey, labels: tuple[str, ...] | None = None) -> str:
    grant = Grant(subject="deployer", issuer="roost", audience="roost-predictions", lifetime=600, labels=labels)
    return mint(key, grant, now=time.time())


def _answer(node: RunningNode, tls: ClientTls, token: str | None, *, version: int | None) -> float:
    predictor = TfServingPredictor(SecretStr(token) if token else None, tls)
    try:
        inputs = {"x": np.array([1.0], np.float32)}
        address = node.address.grpc
        found = predictor.predict(
            address, "ua.default", inputs, version=version, signature="serving_default", deadline=60
        )
        return float(found["y"][0])
    finally:
        predictor.close()
