"""Keys from an https URL of an identity provider within the house, whose authority no system knows."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from roost.doctor import token_keys
from roost.doctor.findings import Level
from roost.settings import GatewaySettings, TokenIssuer
from serving.gateway.render import render
from serving.gateway.tokens import SigningKey, key_set
from serving.node.key_watch import KeyWatch
from tests.integration.gateway.asking import a_token, by_grpc, by_rest, codes
from tests.integration.gateway.authorities import Authority
from tests.integration.gateway.publishing import published, until
from tests.integration.gateway.running import Running, configured, started
from tests.integration.gateway.stand_in import StandIn
from tests.parts import free_port

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Provider:
    """It shows a certificate of `authority`, and publishes the last of `sets`."""

    directory: Path
    authority: Authority = field(default_factory=lambda: Authority("house"))
    sets: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    context: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def show(self, authority: Authority) -> None:
        """A certificate of that authority, to new connections."""
        certificate, key = self.directory / "provider.pem", self.directory / "provider.key"
        authority.pair("provider").write(certificate, key)
        self.context.load_cert_chain(certificate, key)

    def settings(self, *authorities: Authority) -> GatewaySettings:
        """A gateway's, which trusts these."""
        self.trust(*authorities)
        url = f"https://127.0.0.1:{self.port}/keys/jwks.json"
        return GatewaySettings(jwks_url=url, jwks_ca_file=self.directory / "house.pem")

    def trust(self, *authorities: Authority) -> None:
        """Put the file with these in its place."""
        (self.directory / "next.pem").write_bytes(b"".join(each.certificate for each in authorities))
        (self.directory / "next.pem").replace(self.directory / "house.pem")


@pytest.fixture
def provider(tmp_path: Path, signing_key: SigningKey) -> Iterator[Provider]:
    it = Provider(tmp_path, sets=[key_set([signing_key])])
    it.show(it.authority)
    with published(lambda: it.sets[-1], it.port, it.context):
        yield it


def often(directory: Path, model_server: StandIn, settings: GatewaySettings):
    """The gateway, but it fetches keys each second: five minutes in earnest, and five seconds before they are over."""
    config = configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)
    changed = render(config).replace('"cache_duration": "300s"', '"cache_duration": "6s"')
    assert changed != render(config)
    return started(config, changed)


def fetched(gateway: Running) -> int:
    """Key sets that came, since the gateway started."""
    wanted = 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="token_keys_0"}'
    return sum(int(line.rsplit(" ", 1)[1]) for line in gateway.admin.stats().splitlines() if line.startswith(wanted))


def test_keys_come_by_tls_from_a_provider_of_ones_own_authority_and_both_may_change(
    provider: Provider, model_server: StandIn, signing_key: SigningKey, tmp_path: Path
):
    fresh, next_authority = SigningKey.create(), Authority("house, next")
    with often(tmp_path, model_server, provider.settings(provider.authority)) as it:
        new = a_token(fresh)
        assert codes(it, a_token(signing_key)) == (200, "OK")
        assert codes(it, new) == (401, "UNAUTHENTICATED")

        provider.sets.append(key_set([signing_key, fresh]))
        until(lambda: codes(it, new) == (200, "OK"))
        provider.sets.append(key_set([fresh]))
        until(lambda: codes(it, a_token(signing_key, subject=f"at {time.monotonic()}")) == (401, "UNAUTHENTICATED"))

        # The authority changes in the order in which it has to: trust the next one, show its certificate, forget the last.
        provider.trust(provider.authority, next_authority)
        provider.show(next_authority)
        provider.trust(next_authority)
        provider.sets.append(key_set([fresh, signing_key]))
        before = fetched(it)
        until(lambda: codes(it, a_token(signing_key, subject=f"at {time.monotonic()}")) == (200, "OK"))
        assert fetched(it) > before


def test_a_provider_of_another_authority_is_not_believed_and_the_node_says_why(
    provider: Provider,
    model_server: StandIn,
    signing_key: SigningKey,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    settings = provider.settings(Authority("house"))
    with often(tmp_path, model_server, settings) as it:
        token, watch = a_token(signing_key), KeyWatch(settings, it.admin.stats)
        words = "Jwks remote fetch is failed"
        assert by_rest(it, token) == (401, {"error": words})
        assert by_grpc(it, token) == ("UNAUTHENTICATED", words)
        assert fetched(it) == 0

        def said(text: str) -> bool:
            watch.step()
            return any(text in line for line in caplog.messages)

        url, file = settings.jwks_url, settings.jwks_ca_file
        why = f"its certificate is of no authority that counts here: ROOST_GATEWAY__JWKS_CA_FILE is {file}"
        until(lambda: said(f"keys of roost cannot be fetched from {url}: {why}"))

        provider.trust(provider.authority)

        until(lambda: codes(it, token) == (200, "OK"))
        until(lambda: said("keys of roost are fetched again"))


def test_the_doctor_fetches_keys_as_a_gateway_does_and_says_what_it_met(provider: Provider):
    settings = provider.settings(provider.authority)
    assert [each.level for each in token_keys.looked_at(settings)] == [Level.WELL]

    plain = TokenIssuer(issuer="partner", jwks_url=f"https://127.0.0.1:{free_port()}/keys")
    provider.trust(Authority("house"))
    provider.sets.append("no keys")
    distrusted, away = token_keys.looked_at(settings.model_copy(update={"issuers": (plain,)}))
    assert "CERTIFICATE_VERIFY_FAILED" in distrusted.said
    assert f"authority in ROOST_GATEWAY__JWKS_CA_FILE (now {settings.jwks_ca_file})" in distrusted.remedy
    assert ("keys of partner" in away.said, "is it up" in away.remedy) == (True, True)

    provider.trust(provider.authority)
    (nonsense,) = token_keys.looked_at(settings)
    assert "no set of keys" in nonsense.said
    provider.sets.append('{"keys": []}')
    (empty,) = token_keys.looked_at(settings)
    assert "publishes no key" in empty.said
