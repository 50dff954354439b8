"""Keys and tokens for one machine and for tests; in production an identity provider makes both, in the same form."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from roost.contracts.errors import SettingsInvalid
from roost.contracts.ids import check_id

ALGORITHM = "RS256"
#: As the gateway lets it through in a REST path.
_LABEL = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private RSA key. `kid`, derived from its public half, is how a verifier finds it in a set of keys."""

    private: rsa.RSAPrivateKey
    kid: str

    @classmethod
    def create(cls) -> SigningKey:
        """A new key of 2048 bits."""
        return cls._of(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def read(cls, file: Path) -> SigningKey:
        """The key in a PEM file.

        Raises:
            SettingsInvalid: if the file is missing or holds no RSA private key.
        """
        try:
            private = serialization.load_pem_private_key(file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise SettingsInvalid(
                f"{file} cannot be read as a private key: {error}; `roost token create-key FILE` makes one"
            ) from error
        if not isinstance(private, rsa.RSAPrivateKey):
            raise SettingsInvalid(f"{file} does not hold an RSA key")
        return cls._of(private)

    @classmethod
    def _of(cls, private: rsa.RSAPrivateKey) -> SigningKey:
        encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        digest = hashlib.sha256(private.public_key().public_bytes(encoding, form)).hexdigest()
        return cls(private=private, kid=digest[:16])

    def write(self, file: Path) -> None:
        """Write the key as PEM into a new file that only its owner reads.

        Raises:
            SettingsInvalid: if the file is there already: a key is never overwritten.
        """
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = self.private.private_bytes(encoding, form, serialization.NoEncryption())
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SettingsInvalid(f"the key file {file} cannot be made: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token says. `customers` binds it to their models; None opens every model.

    `labels` are what its holder may name beside ``stable``: labels, or ``*`` for every label and version. With () the
    holder has what is stable, and nothing else; None leaves it to the gateway's setting `choices`.
    """

    subject: str
    issuer: str
    audience: str
    #: Seconds from now until it expires.
    lifetime: float
    customers: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


def mint(key: SigningKey, grant: Grant, *, now: float) -> str:
    """A signed token. `now` in seconds since 1970.

    Raises:
        InvalidId: if a customer is not a customer id.
        SettingsInvalid: if a label is neither a label nor ``*``.
    """
    claims: dict[str, object] = {
        "iss": grant.issuer,
        "aud": grant.audience,
        "sub": grant.subject,
        "iat": int(now),
        "exp": int(now + grant.lifetime),
    }
    if grant.customers is not None:
        claims["customers"] = [check_id(customer, "customer id") for customer in grant.customers]
    if grant.labels is not None:
        claims["labels"] = [_checked_label(label) for label in grant.labels]
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})


def _checked_label(label: str) -> str:
    if label != "*" and not _LABEL.fullmatch(label):
        raise SettingsInvalid(f"label {label!r} is not one: use letters, digits, '.', '_' and '-', or * for everything")
    return label


def key_set(keys: Sequence[SigningKey]) -> str:
    """The public halves as a JSON Web Key Set. List the old and the new key while keys are being changed."""
    listed = [
        {**RSAAlgorithm.to_jwk(key.private.public_key(), as_dict=True), "kid": key.kid, "alg": ALGORITHM, "use": "sig"}
        for key in keys
    ]
    return json.dumps({"keys": listed}, indent=2) + "\n"
