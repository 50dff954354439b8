"""The rendered configuration against committed files: a change of what passes shows in a review.

Written anew by ``ROOST_REGENERATE=1 python -m pytest tests/unit/gateway/test_render.py``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from roost.settings import GatewaySettings, TokenIssuer
from serving.gateway.config import GatewayConfig
from serving.gateway.filters import MODEL_SPEC, script
from serving.gateway.render import bootstrap, render
from serving.gateway.tokens import SigningKey, key_set

GOLDEN = Path(__file__).parent / "golden"
SCRIPT = script(*MODEL_SPEC)
#: Stands in the golden files where the configuration holds the script; what stands before it is the route's own.
SCRIPT_MARK = "[model_spec.lua]"

CASES = {
    "open": GatewaySettings(),
    "keys_from_a_url": GatewaySettings(
        jwks_url="https://login.example.com/keys",
        issuer="https://login.example.com",
        audience="predictions",
        allow_cidrs=("10.0.0.0/8", "fd00::/8"),
        max_body_mb=2,
        access_log=Path("/var/log/roost/access.log"),
    ),
    "everything_limited": GatewaySettings(
        jwks_url="https://login.example.com/keys",
        issuers=(TokenIssuer(issuer="partner", jwks_url="http://10.0.0.7:8080/keys"),),
        choices=("previous",),
        trusted_proxies=("10.1.0.0/16",),
        keep_request_ids=True,
        customer_rate=50,
        customer_rates={"ua": 200},
        customer_in_flight=8,
        max_connections=500,
        max_memory_mb=256,
    ),
}


def a_config(settings: GatewaySettings) -> GatewayConfig:
    return GatewayConfig(
        rest="0.0.0.0:8501",
        grpc="[::]:8500",
        upstream_grpc_socket=Path("/run/roost/model.sock"),
        upstream_rest="127.0.0.1:8601",
        admin_socket=Path("/run/roost/admin.sock"),
        settings=settings,
        work_dir=Path("/run/roost"),
    )


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_is_the_reviewed_one(case: str):
    rendered = render(a_config(CASES[case])).replace(json.dumps(SCRIPT, ensure_ascii=False)[1:-1], SCRIPT_MARK)
    golden = GOLDEN / f"{case}.json"
    if os.environ.get("ROOST_REGENERATE"):
        golden.write_text(rendered)

    assert rendered == golden.read_text()


def test_the_same_settings_give_the_same_bytes():
    assert render(a_config(CASES["open"])) == render(a_config(CASES["open"]))


def test_a_key_file_is_named_by_its_whole_path_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "jwks.json").write_text(key_set([SigningKey.create()]))
    monkeypatch.chdir(tmp_path)

    document = json.loads(render(a_config(GatewaySettings(jwks_file=Path("jwks.json")))))

    door = document["static_resources"]["listeners"][2]
    assert door["address"] == {"pipe": {"path": "/run/roost/keys.sock", "mode": 0o600}}
    body = {"filename": f"{tmp_path}/jwks.json", "watched_directory": {"path": str(tmp_path)}}
    assert json.dumps(body) in json.dumps(door)


def test_no_listener_but_the_two_doors_has_a_port():
    document = bootstrap(a_config(CASES["open"]))

    assert document["admin"] == {"address": {"pipe": {"path": "/run/roost/admin.sock", "mode": 0o600}}}
    listeners = json.loads(json.dumps(document))["static_resources"]["listeners"]
    ports = [each["address"]["socket_address"]["port_value"] for each in listeners]
    assert ports == [8501, 8500]
