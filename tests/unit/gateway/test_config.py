"""What a gateway's configuration refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.contracts.errors import SettingsInvalid
from roost.settings import GatewaySettings
from serving.gateway.config import Address, GatewayConfig
from serving.gateway.tokens import SigningKey, key_set


def a_config(**changes: object) -> GatewayConfig:
    fields: dict[str, object] = {
        "rest": "127.0.0.1:8501",
        "grpc": "127.0.0.1:8500",
        "upstream_grpc_socket": Path("/run/model.sock"),
        "upstream_rest": "127.0.0.1:8601",
        "admin_socket": Path("/run/admin.sock"),
        "settings": GatewaySettings(),
        "work_dir": Path("/run"),
    }
    return GatewayConfig(**(fields | changes))  # type: ignore[arg-type]  # the test's own table


def test_an_address_is_an_ip_and_a_port():
    assert Address.parse("127.0.0.1:80", "rest") == Address(host="127.0.0.1", port=80)
    assert Address.parse("[::1]:8500", "rest") == Address(host="::1", port=8500)


@pytest.mark.parametrize(
    "text", ["", "8501", "localhost:8501", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "1.2.3:x"]
)
def test_an_address_that_cannot_be_used_is_named(text: str):
    with pytest.raises(SettingsInvalid, match="gateway rest"):
        a_config(rest=text)


def test_a_socket_path_that_is_too_long_is_named_before_anything_starts():
    with pytest.raises(SettingsInvalid, match="longer than 107 bytes"):
        a_config(admin_socket=Path("/" + "x" * 107))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"allow_cidrs": ()}, "nobody could ask"),
        ({"allow_cidrs": ("10.0.0.0/33",)}, "'10.0.0.0/33' is not a network"),
        ({"allow_cidrs": ("10.0.0.1/8",)}, "has host bits set"),
        ({"jwks_file": "/a", "jwks_url": "https://b"}, "both set"),
        ({"jwks_file": "/nowhere/jwks.json"}, "/nowhere/jwks.json holds no set of public keys: .*No such file"),
        ({"jwks_file": __file__}, "test_config.py holds no set of public keys"),
        ({"jwks_url": "ftp://keys"}, "is not an http"),
        ({"jwks_url": "https:///keys"}, "is not an http"),
        ({"jwks_ca_file": "/a"}, "jwks_ca_file of roost is set without an https address in jwks_url"),
        ({"jwks_url": "http://a/k", "jwks_ca_file": "/a"}, "jwks_ca_file of roost is set without an https address"),
        ({"jwks_url": "https://a/k", "jwks_ca_file": "/no.pem"}, "jwks_ca_file /no.pem does not hold PEM certificates"),
        (
            {"issuers": [{"issuer": "partner", "jwks_url": "https://a/k", "jwks_ca_file": __file__}]},
            "jwks_ca_file .*test_config.py does not hold PEM certificates",
        ),
        ({"issuers": [{"issuer": "partner"}]}, "jwks_url None of partner is not an http"),
        ({"issuers": [{"issuer": "partner", "jwks_file": "/nowhere"}]}, "jwks_file /nowhere holds no set"),
        ({"jwks_url": "https://a/k", "issuers": [{"issuer": "roost", "jwks_url": "https://b/k"}]}, "listed twice"),
        ({"trusted_proxies": ("proxy.example.com",)}, "trusted_proxies: 'proxy.example.com' is not a network"),
        ({"customer_rates": {"ua.default": 5}}, "customer_rates: customer id 'ua.default' is not valid"),
        ({"customer_rates": {"ua": 0}}, "ua has 0 requests per second; the least is 1"),
        ({"tls_cert_file": "/a"}, "tls_cert_file is set alone"),
        ({"tls_key_file": "/a"}, "tls_key_file is set alone"),
        ({"tls_client_ca_file": "/a"}, "tls_client_ca_file is set without"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: dict[str, object], words: str):
    with pytest.raises(SettingsInvalid, match=words):
        a_config(settings=GatewaySettings.model_validate(settings))


def test_tokens_are_asked_for_where_there_are_keys(tmp_path: Path):
    (tmp_path / "jwks.json").write_text(key_set([SigningKey.create()]))

    assert not a_config().asks_for_tokens
    assert a_config(settings=GatewaySettings(jwks_file=tmp_path / "jwks.json")).asks_for_tokens
    assert a_config(settings=GatewaySettings(jwks_url="https://keys/jwks")).asks_for_tokens
