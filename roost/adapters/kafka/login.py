"""Passwords in files: read anew for each connection, as the client does with certificates.

kafka-python (3.0.12) makes a SASL mechanism for each connection and each renewed login, of what the client was
given when it was made. Given a `PasswordFile` instead of a text, the mechanisms here look into the file then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka.net.sasl import register_sasl_mechanism
from kafka.net.sasl.plain import SaslMechanismPlain
from kafka.net.sasl.scram import SaslMechanismScram

_PASSWORD: Final = "sasl_plain_password"  # noqa: S105  # the name of the client's option


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordFile:
    """Where a password stands."""

    path: Path

    def read(self) -> str:
        """What stands there now, without the line's end that editors add. Raises `OSError`."""
        return self.path.read_text().rstrip("\r\n")


def _present(config: dict[str, Any]) -> dict[str, Any]:
    """The client's options, with the password of this moment."""
    given = config[_PASSWORD]
    return config | {_PASSWORD: given.read()} if isinstance(given, PasswordFile) else config


class _Plain(SaslMechanismPlain):  # type: ignore[misc]  # the client ships no types
    def __init__(self, **config: Any) -> None:
        super().__init__(**_present(config))


class _Scram(SaslMechanismScram):  # type: ignore[misc]  # the client ships no types
    def __init__(self, **config: Any) -> None:
        super().__init__(**_present(config))


#: Logins by name and password. Others need a ticket or a token service that no setting of ours names.
MECHANISMS: Final[dict[str, type]] = {"PLAIN": _Plain, "SCRAM-SHA-256": _Scram, "SCRAM-SHA-512": _Scram}

for _name, _mechanism in MECHANISMS.items():
    register_sasl_mechanism(_name, _mechanism, overwrite=True)
