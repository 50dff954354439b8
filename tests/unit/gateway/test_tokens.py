"""Keys and tokens for one machine."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from roost.contracts.errors import SettingsInvalid
from roost.contracts.ids import InvalidId
from serving.gateway.tokens import Grant, SigningKey, key_set, mint

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.create()


def a_grant(customers: tuple[str, ...] | None = None) -> Grant:
    return Grant(subject="app", issuer="roost", audience="predictions", lifetime=60, customers=customers)


def verified(token: str, keys: str) -> dict[str, object]:
    """The claims, checked with the public keys only, at the time of minting."""
    wanted = jwt.get_unverified_header(token)["kid"]
    public = next(each for each in jwt.PyJWKSet.from_json(keys).keys if each.key_id == wanted)
    return jwt.decode(
        token,
        public,
        algorithms=["RS256"],
        audience="predictions",
        issuer="roost",
        options={"verify_exp": False, "verify_iat": False},
    )


def test_a_token_is_verified_with_the_published_half_of_its_key(key: SigningKey):
    token = mint(key, a_grant(("ua", "oo")), now=NOW)

    claims = verified(token, key_set([SigningKey.create(), key]))

    assert claims == {
        "iss": "roost",
        "aud": "predictions",
        "sub": "app",
        "iat": NOW,
        "exp": NOW + 60,
        "customers": ["ua", "oo"],
    }


def test_a_token_without_customers_is_not_bound(key: SigningKey):
    assert "customers" not in verified(mint(key, a_grant(), now=NOW), key_set([key]))


def test_a_customer_that_is_no_customer_id_is_refused(key: SigningKey):
    with pytest.raises(InvalidId, match=r"customer id 'ua\.default'"):
        mint(key, a_grant(("ua.default",)), now=NOW)


def test_the_published_keys_hold_nothing_private(key: SigningKey):
    (published,) = json.loads(key_set([key]))["keys"]

    assert published.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi"})
    assert published["kid"] == key.kid


def test_a_key_survives_its_file_and_is_never_overwritten(key: SigningKey, tmp_path: Path):
    file = tmp_path / "key.pem"
    key.write(file)

    assert SigningKey.read(file).kid == key.kid
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsInvalid, match="File exists"):
        SigningKey.create().write(file)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes | None):
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsInvalid, match=r"key\.pem cannot be read as a private key"):
        SigningKey.read(file)
