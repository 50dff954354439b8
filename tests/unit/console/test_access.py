"""Who may ask: tokens and roles where keys are set, this machine alone where none are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deployer.console.access import Gate, Role, is_loopback
from deployer.console.problems import Refused
from roost.contracts.errors import SettingsInvalid
from roost.settings import ConsoleSettings
from tests.console.world import World
from tests.unit.console.conftest import running

JSON = {"content-type": "application/json"}


class Issuer:
    """Keeps keys in a file, and signs with them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}
        document = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256"}
            for kid, key in self.keys.items()
        ]
        self.file.write_text(json.dumps({"keys": document}))

    def token(self, *roles: str, **claims: object) -> str:
        kid, key = next(iter(self.keys.items()))
        claims = {
            "iss": "roost", "aud": "roost-console", "sub": "ann@example.org", "roles": list(roles),
            "exp": datetime.now(UTC) + timedelta(minutes=5), **claims,
        }  # fmt: skip
        known = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(known, key, algorithm="ES256", headers={"kid": kid})


@pytest.fixture(name="issuer")
def _issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json")


@pytest.fixture(name="gate")
def _gate(issuer: Issuer) -> Gate:
    return Gate(ConsoleSettings(jwks_file=issuer.file))


def test_a_good_token_gives_name_and_roles(issuer: Issuer, gate: Gate):
    caller = gate.admit("203.0.113.9", issuer.token("engineer", "unheard-of"))
    assert caller.name == "ann@example.org"
    assert caller.roles == {Role.ENGINEER}
    assert caller.verified


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "roost-predictions"},
        {"iss": "somebody"},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"exp": None},
        {"sub": None},
        {"aud": None},
    ],
)
def test_a_token_with_a_wrong_or_missing_claim_is_refused(issuer: Issuer, gate: Gate, claims: dict[str, object]):
    with pytest.raises(Refused) as refused:
        gate.admit("127.0.0.1", issuer.token("admin", **claims))
    assert refused.value.status == 401


def test_a_token_signed_by_another_key_is_refused(issuer: Issuer, gate: Gate, tmp_path: Path):
    with pytest.raises(Refused, match="Signature"):
        gate.admit("127.0.0.1", Issuer(tmp_path / "other.json").token("admin"))


def test_the_token_does_not_choose_its_algorithm(issuer: Issuer, gate: Gate):
    claims = {"iss": "roost", "aud": "roost-console", "sub": "x", "exp": datetime.now(UTC) + timedelta(minutes=5)}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "first"})
    symmetric = jwt.encode(claims, "the public key as a secret" * 2, algorithm="HS256", headers={"kid": "first"})
    for token in (unsigned, symmetric, "garbage", ""):
        with pytest.raises(Refused):
            gate.admit("127.0.0.1", token)


def test_rotated_keys_are_taken_up_and_the_old_ones_no_longer_count(issuer: Issuer, gate: Gate):
    old = issuer.token("viewer")
    gate.admit("127.0.0.1", old)
    issuer.rotate("second")
    assert gate.admit("127.0.0.1", issuer.token("viewer")).name == "ann@example.org"
    with pytest.raises(Refused, match="no key"):
        gate.admit("127.0.0.1", old)


def test_a_key_file_that_is_none_stops_the_start_and_is_named(tmp_path: Path):
    file = tmp_path / "jwks.json"
    file.write_text("no json")
    with pytest.raises(SettingsInvalid, match=r"jwks\.json"):
        Gate(ConsoleSettings(jwks_file=file))
    with pytest.raises(SettingsInvalid, match=r"absent\.json"):
        Gate(ConsoleSettings(jwks_file=tmp_path / "absent.json"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True),
        ("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("127.0.0.1.evil.example", False), ("", False), (None, False),
    ],
)  # fmt: skip
def test_only_loopback_addresses_are_this_machine(host: str | None, expected: bool):
    assert is_loopback(host) is expected


async def test_without_keys_another_machine_is_refused_and_told_why(world: World):
    async with running(world) as (_, browser):
        async with browser("192.0.2.7") as client:
            answer = await client.get("/api/v1/rollouts")
            assert answer.status_code == 403
            assert "ROOST_CONSOLE__JWKS_FILE" in answer.json()["remedy"]
            page = await client.get("/", headers={"accept": "text/html"})
            assert page.status_code == 403
            assert "this machine only" in page.text
        async with browser("192.0.2.7") as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_with_keys_the_token_decides_and_its_subject_is_the_actor(world: World, issuer: Issuer):
    async with running(world, ConsoleSettings(jwks_file=issuer.file)) as (_, browser):
        async with browser("192.0.2.7") as nobody:
            assert (await nobody.get("/api/v1/rollouts")).status_code == 401
        async with browser("192.0.2.7", authorization=f"Bearer {issuer.token('on-call')}") as client:
            assert (await client.get("/api/v1/rollouts")).status_code == 200
            body = {"command": "rollback", "customer": "ua", "reason": "odd scores", "actor": "somebody else"}
            assert (await client.post("/api/v1/commands", json=body)).status_code == 202
    assert world.ledger.open_commands(1)[0].command.actor == "ann@example.org"


@pytest.mark.parametrize(
    ("role", "command", "status"),
    [
        ("viewer", "approve", 403),
        ("engineer", "approve", 202),
        ("engineer", "rollback", 403),
        ("engineer", "freeze", 403),
        ("on-call", "rollback", 202),
        ("admin", "freeze", 202),
        ("unheard-of", "approve", 403),
    ],
)
async def test_roles_decide_what_a_person_may_do(world: World, issuer: Issuer, role: str, command: str, status: int):
    body = {"command": command, "customer": "9e", "reason": "because"}
    bearer = f"Bearer {issuer.token(role)}"
    settings = ConsoleSettings(jwks_file=issuer.file)
    async with running(world, settings) as (_, browser), browser(authorization=bearer) as client:
        answer = await client.post("/api/v1/commands", json=body)
    assert answer.status_code == status
    assert len(world.ledger.open_commands(10)) == (1 if status == 202 else 0)


async def test_a_browser_signs_in_with_a_token_and_out_again(world: World, issuer: Issuer):
    async with running(world, ConsoleSettings(jwks_file=issuer.file)) as (_, browser), browser("192.0.2.7") as client:
        sent_away = await client.get("/", headers={"accept": "text/html"})
        assert (sent_away.status_code, sent_away.headers["location"]) == (303, "/login")
        assert "Sign in" in (await client.get("/login")).text
        bad = await client.post("/login", data={"token": "nonsense"})
        assert bad.status_code == 401
        good = await client.post("/login", data={"token": issuer.token("viewer")})
        cookie = good.headers["set-cookie"].lower()
        assert good.status_code == 303
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert (await client.get("/api/v1/rollouts")).status_code == 200
        await client.post("/logout")
        assert (await client.get("/api/v1/rollouts")).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_a_foreign_page_cannot_act_in_a_persons_name(
    client: httpx.AsyncClient, world: World, headers: dict[str, str]
):
    body = {"command": "rollback", "customer": "ua", "reason": "csrf"}
    answer = await client.post("/api/v1/commands", json=body, headers=headers)
    assert answer.status_code == 403
    assert not world.ledger.open_commands(10)


async def test_the_consoles_own_page_may_act(client: httpx.AsyncClient, world: World):
    body = {"command": "freeze", "reason": "night"}
    answer = await client.post("/api/v1/commands", json=body, headers={"origin": "http://127.0.0.1:8088"})
    assert answer.status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_only_json_is_taken_so_that_a_form_cannot_send_a_command(
    client: httpx.AsyncClient, world: World, kind: str
):
    content = '{"command":"freeze","reason":"csrf"}'
    answer = await client.post("/api/v1/commands", content=content, headers={"content-type": kind})
    assert answer.status_code == 415
    assert not world.ledger.open_commands(10)


async def test_a_foreign_name_for_this_machine_is_refused(world: World):
    async with running(world) as (_, browser), browser(base="http://rebound.example:8088") as client:
        answer = await client.get("/api/v1/rollouts")
    assert answer.status_code == 403
    assert "rebound.example" in answer.json()["detail"]


async def test_a_websocket_of_a_foreign_page_is_closed(world: World):
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": "/socket.io/", "raw_path": b"/socket.io/", "query_string": b"",
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8088), "scheme": "ws", "subprotocols": [],
        "headers": [(b"host", b"127.0.0.1:8088"), (b"origin", b"https://evil.example")],
    }  # fmt: skip
    async with running(world) as (console, _):
        await console.app(scope, receive, send)  # type: ignore[arg-type]  # plain ASGI messages
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Foreign origin"}]


async def test_a_refusal_page_does_not_carry_markup_of_the_caller(world: World):
    async with running(world) as (_, browser), browser(base="http://x.example") as client:
        page = await client.get("/", headers={"accept": "text/html", "host": "<script>alert(1)</script>"})
    assert "<script>" not in page.text
