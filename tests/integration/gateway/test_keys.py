"""Where keys come from, and how they change."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from roost.settings import GatewaySettings, TokenIssuer
from serving.gateway.render import render
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.asking import a_token, codes
from tests.integration.gateway.publishing import published, until
from tests.integration.gateway.running import configured, running, started
from tests.integration.gateway.stand_in import StandIn
from tests.parts import free_port

pytestmark = pytest.mark.integration


def test_a_key_file_that_is_replaced_is_taken_up_without_a_restart(
    model_server: StandIn, signing_key: SigningKey, tmp_path: Path
):
    keys, fresh = tmp_path / "jwks.json", SigningKey.create()
    keys.write_text(key_set([signing_key]))
    settings = GatewaySettings(jwks_file=keys)
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        unseen, new = a_token(signing_key, subject="not-seen-before"), a_token(fresh)
        assert codes(it, a_token(signing_key)) == (200, "OK")
        assert codes(it, new) == (401, "UNAUTHENTICATED")

        (tmp_path / "next.json").write_text(key_set([fresh]))
        (tmp_path / "next.json").replace(keys)
        until = time.monotonic() + 60
        while codes(it, new) != (200, "OK") and time.monotonic() < until:
            time.sleep(0.05)

        assert codes(it, new) == (200, "OK")
        assert codes(it, unseen) == (401, "UNAUTHENTICATED")


def test_keys_come_from_a_url_also_when_it_answers_late(model_server: StandIn, signing_key: SigningKey, tmp_path: Path):
    port = free_port()
    settings = GatewaySettings(jwks_url=f"http://127.0.0.1:{port}/keys/jwks.json")
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        assert codes(it, a_token(signing_key)) == (401, "UNAUTHENTICATED")

        with published(lambda: key_set([signing_key]), port):
            # Each of the two doors fetches for itself.
            until = time.monotonic() + 60
            both = (200, "OK")
            while codes(it, a_token(signing_key)) != both and time.monotonic() < until:
                time.sleep(0.05)

        # The keys are kept: whoever publishes them is not asked for each request, and may be away.
        assert codes(it, a_token(signing_key)) == both
        assert codes(it, a_token(SigningKey.create())) == (401, "UNAUTHENTICATED")


def test_keys_of_a_url_are_fetched_again_and_those_that_were_withdrawn_open_nothing(
    model_server: StandIn, signing_key: SigningKey, tmp_path: Path
):
    fresh, port = SigningKey.create(), free_port()
    settings = GatewaySettings(jwks_url=f"http://127.0.0.1:{port}/keys/jwks.json")
    config = configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)
    # Five minutes in earnest; fetched five seconds before they are over.
    often = render(config).replace('"cache_duration": "300s"', '"cache_duration": "6s"')
    sets = [key_set([signing_key])]
    with published(lambda: sets[-1], port), started(config, often) as it:
        unseen, new = a_token(signing_key, subject="not-seen-before"), a_token(fresh)
        assert codes(it, a_token(signing_key)) == (200, "OK")
        assert codes(it, new) == (401, "UNAUTHENTICATED")

        # As keys are changed: both for a while, then the new one alone.
        sets.append(key_set([signing_key, fresh]))
        until(lambda: codes(it, new) == (200, "OK"))
        assert codes(it, a_token(signing_key, subject="still-good")) == (200, "OK")
        sets.append(key_set([fresh]))
        until(lambda: codes(it, a_token(signing_key, subject=f"at {time.monotonic()}")) == (401, "UNAUTHENTICATED"))

        assert codes(it, unseen) == (401, "UNAUTHENTICATED")
        assert codes(it, new) == (200, "OK")


def test_several_issuers_each_sign_with_keys_of_their_own(
    model_server: StandIn, signing_key: SigningKey, tmp_path: Path
):
    partner = SigningKey.create()
    for name, key in (("own.json", signing_key), ("partner.json", partner)):
        (tmp_path / name).write_text(key_set([key]))
    settings = GatewaySettings(
        jwks_file=tmp_path / "own.json",
        issuers=(TokenIssuer(issuer="partner", audience="for-us", jwks_file=tmp_path / "partner.json"),),
    )
    with running(configured(tmp_path, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        assert codes(it, a_token(signing_key)) == (200, "OK")
        assert codes(it, a_token(partner, issuer="partner", audience="for-us")) == (200, "OK")
        # A binding counts whoever signed it; and no key signs for another issuer, no audience is another's.
        assert codes(it, a_token(partner, issuer="partner", audience="for-us", customers=("dl",))) == (
            403,
            "PERMISSION_DENIED",
        )
        assert codes(it, a_token(partner)) == (401, "UNAUTHENTICATED")
        assert codes(it, a_token(partner, issuer="partner")) == (403, "PERMISSION_DENIED")
        assert codes(it, a_token(signing_key, issuer="partner", audience="for-us")) == (401, "UNAUTHENTICATED")
        assert codes(it, a_token(signing_key, issuer="mallory")) == (401, "UNAUTHENTICATED")
