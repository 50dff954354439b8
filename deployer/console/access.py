"""Who may ask: tokens where keys are set, this machine alone where none are.

Source of the token rules: RFC 8725 (JSON Web Token best current practices): the algorithm comes from our list and
never from the token, issuer, audience and expiry are required.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import jwt

from deployer.console.operator import operator
from deployer.console.problems import Refused
from roost.contracts.errors import SettingsInvalid
from roost.contracts.events import Command
from roost.settings import ConsoleSettings

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LOOPBACK_HINT: Final = "Set ROOST_CONSOLE__JWKS_FILE to let people in from elsewhere with tokens."


class Role(StrEnum):
    """What a person may do. Everybody with a role may look."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    ON_CALL = "on-call"
    ADMIN = "admin"


_ENGINEER: Final = frozenset({Command.APPROVE, Command.REJECT, Command.PROMOTE, Command.RETRY})
MAY: Final[dict[Role, frozenset[Command]]] = {
    Role.VIEWER: frozenset(),
    Role.ENGINEER: _ENGINEER,
    Role.ON_CALL: frozenset(Command),
    Role.ADMIN: frozenset(Command),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    roles: frozenset[Role]
    #: Whether a token says so. Otherwise the name is a default, and a command may name its actor.
    verified: bool
    #: When the token ends.
    until: datetime | None = None

    def may(self, command: Command) -> bool:
        """Whether any role allows it."""
        return any(command in MAY[role] for role in self.roles)

    def require(self, command: Command, now: datetime) -> None:
        """Raises `Refused` where no role allows the command, or the token has ended meanwhile."""
        if self.until is not None and self.until <= now:
            raise Refused(401, "Token expired", "the token has expired", "Get a new token and sign in again.")
        if not self.may(command):
            have = ", ".join(sorted(self.roles)) or "none"
            needed = ", ".join(role for role in Role if command in MAY[role])
            raise Refused(
                403,
                "Not allowed",
                f"{self.name} may not {command.value}: roles {have}",
                f"Ask somebody with one of the roles {needed}.",
            )


class Gate:
    """Decides who a request comes from."""

    def __init__(self, settings: ConsoleSettings) -> None:
        """Raises `SettingsInvalid` where the key file cannot be used."""
        self._settings = settings
        self._keys: jwt.PyJWKSet | None = None
        self._read_at = 0.0
        if settings.jwks_file is not None:
            self._load(settings.jwks_file)

    @property
    def local_only(self) -> bool:
        """Whether only this machine may ask."""
        return self._settings.jwks_file is None

    def admit(self, client: str | None, token: str | None) -> Caller:
        """The caller behind an address and a token.

        Raises:
            Refused: 401 without a good token, 403 from elsewhere while there are no keys.
        """
        if self._settings.jwks_file is None:
            return _local(client)
        if token is None:
            raise Refused(
                401, "Sign in", "no token was sent", "Send `Authorization: Bearer TOKEN`, or sign in at /login."
            )
        return self._verified(token, self._settings.jwks_file)

    def _verified(self, token: str, file: Path) -> Caller:
        try:
            if file.stat().st_mtime != self._read_at:
                self._load(file)
            key = self._key(token)
            claims = jwt.decode(
                token,
                key=key,
                algorithms=list(ALGORITHMS),
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, OSError, ValueError) as error:
            raise Refused(
                401, "Bad token", f"the token is refused: {error}", "Get a new token for this console."
            ) from error
        return Caller(
            name=str(claims["sub"])[:200],
            roles=_roles(claims.get("roles", ())),
            verified=True,
            until=datetime.fromtimestamp(float(claims["exp"]), tz=UTC),
        )

    def _key(self, token: str) -> jwt.PyJWK:
        if self._keys is None:
            raise ValueError("there are no keys")
        header = jwt.get_unverified_header(token)
        for key in self._keys.keys:
            if key.key_id == header.get("kid"):
                return key
        raise jwt.InvalidKeyError(f"no key has the id {str(header.get('kid'))[:80]!r}")

    def _load(self, file: Path) -> None:
        # Rotation: the file is read again whenever it changes.
        try:
            self._read_at = file.stat().st_mtime
            self._keys = jwt.PyJWKSet.from_dict(json.loads(file.read_text()))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            raise SettingsInvalid(
                f"ROOST_CONSOLE__JWKS_FILE names {file}, which is not a JWKS file: {error}"
            ) from error


def _local(client: str | None) -> Caller:
    if not is_loopback(client):
        raise Refused(
            403,
            "This machine only",
            f"no sign-in is set up, so the console serves this machine only, and {client or 'you'} is elsewhere",
            _LOOPBACK_HINT,
        )
    return Caller(name=operator(), roles=frozenset(Role), verified=False)


def is_loopback(host: str | None) -> bool:
    """Whether an address or a host name is this machine's own."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(mapped.is_loopback if mapped else address.is_loopback)


def _roles(claim: object) -> frozenset[Role]:
    names: Iterable[object] = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    known = {role.value for role in Role}
    return frozenset(Role(name) for name in names if isinstance(name, str) and name in known)
