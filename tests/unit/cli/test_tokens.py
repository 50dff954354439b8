"""`roost token`: keys and tokens for the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest
import typer
from typer.testing import CliRunner

from roost.cli import tokens
from roost.contracts.errors import SettingsInvalid
from roost.contracts.ids import InvalidId
from serving.gateway.tokens import SigningKey


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "signing.pem"
    SigningKey.create().write(file)
    return file


def roost(*arguments: str | Path) -> str:
    app = typer.Typer()
    app.callback()(lambda: None)
    tokens.register(app)
    done = CliRunner().invoke(app, ["token", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def claims_of(token: str, key: Path) -> dict[str, object]:
    keys = jwt.PyJWKSet.from_json(roost("key-set", key)).keys
    return jwt.decode(token.strip(), keys[0], algorithms=["RS256"], audience="roost-predictions", issuer="roost")


def test_a_key_is_made_for_its_owner_only_and_never_overwritten(tmp_path: Path):
    file = tmp_path / "new.pem"

    assert roost("create-key", file) == ""

    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsInvalid, match="File exists"):
        roost("create-key", file)


def test_a_token_says_who_asks_for_whom_and_for_which_labels(key: Path):
    claims = claims_of(roost("mint", key, "app", "--customer", "ua", "-c", "oo", "--label", "stable"), key)

    assert (claims["sub"], claims["customers"], claims["labels"]) == ("app", ["ua", "oo"], ["stable"])


def test_a_token_without_limits_has_none_and_lives_an_hour(key: Path):
    claims = claims_of(roost("mint", key, "app"), key)

    assert claims.keys().isdisjoint({"customers", "labels"})
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 3600


def test_a_customer_or_label_that_is_none_is_named(key: Path):
    with pytest.raises(InvalidId, match=r"ua\.default"):
        roost("mint", key, "app", "--customer", "ua.default")
    with pytest.raises(SettingsInvalid, match="label 'a b'"):
        roost("mint", key, "app", "--label", "a b")


def test_a_key_set_is_put_in_its_place_whole(key: Path, tmp_path: Path):
    out = tmp_path / "jwks.json"
    out.write_text("{}")
    before = out.stat().st_ino

    roost("key-set", key, "--out", out)

    assert [each["kid"] for each in json.loads(out.read_text())["keys"]] == [SigningKey.read(key).kid]
    assert out.stat().st_ino != before
    assert [each.name for each in tmp_path.iterdir()] == ["jwks.json"]
