"""What is said of keys of tokens that cannot be fetched, from what Envoy counts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from roost.contracts.errors import NodeUnavailable
from roost.settings import GatewaySettings, TokenIssuer
from serving.node.key_watch import KeyWatch

SETTINGS = GatewaySettings(
    jwks_url="https://login.example.com/keys",
    issuers=(
        TokenIssuer(issuer="own", jwks_file=Path("/keys")),
        TokenIssuer(issuer="partner", jwks_url="https://partner.example.com/keys", jwks_ca_file=Path("/house.pem")),
    ),
)


class Envoy:
    """Its statistics, as its admin interface writes them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.away = False

    def page(self) -> str:
        if self.away:
            raise NodeUnavailable("no gateway listens")
        return "".join(f"{name} {count}\n" for name, count in self.counts.items())

    def fetched(self, place: int, count: int = 1) -> None:
        self._add(f'upstream_rq_xx{{envoy_response_code_class="2",envoy_cluster_name="token_keys_{place}"}}', count)

    def failed(self, place: int, what: str) -> None:
        """Envoy answers itself in the place of a provider that it cannot ask."""
        self._add(f'upstream_rq_xx{{envoy_response_code_class="5",envoy_cluster_name="token_keys_{place}"}}', 1)
        if what != "5":
            self._add(f'{what}{{envoy_cluster_name="token_keys_{place}"}}', 3)

    def _add(self, name: str, count: int) -> None:
        name = f"envoy_cluster_{name}"
        self.counts[name] = self.counts.get(name, 0) + count


@pytest.fixture
def envoy() -> Envoy:
    return Envoy()


@pytest.fixture
def watch(envoy: Envoy, caplog: pytest.LogCaptureFixture) -> KeyWatch:
    caplog.set_level(logging.INFO)
    return KeyWatch(SETTINGS, envoy.page)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("ssl_fail_verify_error", "of no authority that counts here: ROOST_GATEWAY__JWKS_CA_FILE is not set"),
        ("ssl_fail_verify_san", "its certificate is for another name"),
        ("ssl_connection_error", "it speaks no TLS"),
        ("upstream_cx_connect_fail", "nobody answers there"),
        ("5", "it fails (5xx)"),
    ],
)
def test_it_says_once_why_keys_are_not_fetched_and_once_that_they_are(
    envoy: Envoy, watch: KeyWatch, caplog: pytest.LogCaptureFixture, what: str, words: str
):
    envoy.failed(0, what)
    watch.step()
    envoy.failed(0, what)
    watch.step()
    envoy.failed(0, "5")
    watch.step()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("keys of roost cannot be fetched from https://login.example.com/keys: ")
    assert words in caplog.messages[0]

    envoy.fetched(0)
    watch.step()
    watch.step()
    assert caplog.messages[1:] == ["keys of roost are fetched again"]


def test_each_issuer_is_looked_at_by_itself(envoy: Envoy, watch: KeyWatch, caplog: pytest.LogCaptureFixture):
    envoy.fetched(0)
    envoy.failed(2, "ssl_fail_verify_error")
    watch.step()
    (said,) = caplog.messages
    assert "keys of partner cannot be fetched from https://partner.example.com/keys" in said
    assert "ROOST_GATEWAY__JWKS_CA_FILE is /house.pem" in said


def test_a_gateway_that_is_away_or_counts_anew_says_nothing(
    envoy: Envoy, watch: KeyWatch, caplog: pytest.LogCaptureFixture
):
    envoy.fetched(0, 5)
    watch.step()
    envoy.away = True
    watch.step()
    envoy.away, envoy.counts = False, {}
    envoy.fetched(0, 1)
    watch.step()
    assert caplog.messages == []


def test_without_a_url_there_is_nothing_to_look_at(envoy: Envoy):
    envoy.away = True
    KeyWatch(GatewaySettings(), envoy.page).step()
