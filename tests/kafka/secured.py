"""Apache Kafka as production has it: TLS, logins by SCRAM, certificates, and ACLs that somebody must give."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from pydantic import SecretStr

from roost.adapters.kafka import ensure_acls, open_admin, principal
from roost.adapters.kafka.admin import admin_client
from roost.contracts.errors import BrokerRefused, BrokerUnavailable
from roost.contracts.event_rights import Account
from roost.embedded.apache_kafka import Brokers, Layout
from roost.ports.event_bus import topics
from roost.settings import KafkaSettings
from tests.integration.gateway.authorities import Authority

T = TypeVar("T")

#: Somebody who logs in and has no rights.
STRANGER: Final = "roost-stranger"
_ADMIN: Final = "admin"
_MECHANISM: Final = "SCRAM-SHA-512"
#: Listeners: the brokers among themselves, processes with a login, processes with a certificate.
_LISTENERS: Final = {"INSIDE": "PLAINTEXT", "LOGIN": "SASL_SSL", "MUTUAL": "SSL"}


@dataclass(slots=True)
class Certificates:
    """Files of the broker and of a client, of authorities that can be replaced while everything runs."""

    directory: Path
    authority: Authority = field(default_factory=lambda: Authority("first"))

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.renew_broker()
        self.trust(self.authority)
        self.renew_client("roost-signup-consumer")

    @property
    def broker(self) -> dict[str, str]:
        """Properties of a broker."""
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.directory / "keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.directory / "truststore.pem"),
        }

    @property
    def trusted(self) -> Path:
        """The authorities that clients trust."""
        return self.directory / "ca.pem"

    @property
    def pair(self) -> tuple[Path, Path]:
        """Certificate and key of a client."""
        return self.directory / "client.pem", self.directory / "client.key"

    def renew_broker(self) -> None:
        """A new pair for the broker, which trusts its present authority alone; it is read at the broker's start."""
        pair = self.authority.pair("broker")
        (self.directory / "keystore.pem").write_bytes(pair.key + pair.certificate)
        (self.directory / "truststore.pem").write_bytes(self.authority.certificate)

    def trust(self, *authorities: Authority) -> None:
        """Clients trust these, and no others, from their next connection on."""
        fresh = self.trusted.with_suffix(".next")
        fresh.write_bytes(b"".join(one.certificate for one in authorities))
        fresh.replace(self.trusted)

    def renew_client(self, name: str) -> None:
        """A new pair for the client, of the present authority."""
        self.authority.pair(name).write(*self.pair)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A running broker, the certificates, and everybody's settings."""

    brokers: Brokers
    certificates: Certificates

    @classmethod
    def bare(cls, start_brokers: Callable[[Layout], Brokers], directory: Path, *users: str) -> Secured:
        """Start it. It knows these users beside its administrator, and nobody has a right."""
        certificates = Certificates(directory)
        return cls(brokers=start_brokers(_layout(certificates, users)), certificates=certificates)

    @classmethod
    def start(cls, start_brokers: Callable[[Layout], Brokers], directory: Path) -> Secured:
        """Start it, and set rights and topics up as an installation does: by the account of the set-up."""
        found = cls.bare(start_brokers, directory, STRANGER, *(f"roost-{account.value}" for account in Account))
        setup = found.settings(Account.SETUP)
        # What an administrator does once, with kafka-acls.
        for operation in (ACLOperation.DESCRIBE, ACLOperation.ALTER):
            found.give(principal(setup, Account.SETUP), operation, ResourceType.CLUSTER, "kafka-cluster")
        patiently(lambda: ensure_acls(setup))
        patiently(lambda: open_admin(setup).ensure(topics(partitions=setup.partitions, replication=1)))
        return found

    def settings(self, who: Account | str, **changes: object) -> KafkaSettings:
        """How that account logs in."""
        name = f"roost-{who.value}" if isinstance(who, Account) else who
        given: dict[str, Any] = {
            "bootstrap": self.brokers.bootstrap("LOGIN"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": _MECHANISM,
            "sasl_username": name,
            "sasl_password": SecretStr(password(name)),
            "ssl_cafile": self.certificates.trusted,
            "partitions": 2,
            "session_timeout_ms": 6_000,
            "heartbeat_interval_ms": 1_000,
        }
        return KafkaSettings(**given | changes)

    @property
    def mutual(self) -> KafkaSettings:
        """How a process shows a certificate instead."""
        certificate, key = self.certificates.pair
        return self.settings(
            STRANGER,
            bootstrap=self.brokers.bootstrap("MUTUAL"),
            security_protocol="SSL",
            sasl_mechanism=None,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )

    @property
    def admin(self) -> KafkaSettings:
        """The super user."""
        return self.settings(_ADMIN)

    @property
    def admin_properties(self) -> str:
        """How Apache Kafka's own commands log in as the super user."""
        login = f'username="{_ADMIN}" password="{password(_ADMIN)}"'
        return "\n".join(
            (
                "security.protocol=SASL_SSL",
                f"sasl.mechanism={_MECHANISM}",
                f"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required {login};",
                "ssl.truststore.type=PEM",
                f"ssl.truststore.location={self.certificates.trusted}",
            )
        )

    def give(self, who: str, operation: ACLOperation, kind: ResourceType, name: str) -> None:
        """One right, given by the super user, as `kafka-acls` does."""
        acl = ACL(who, "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
        assert not self._as_admin(lambda client: client.create_acls([acl]))["failed"]

    def take(self, who: str, operation: ACLOperation, kind: ResourceType, name: str) -> None:
        """Take that right away again."""
        pattern = ResourcePatternFilter(kind, name, ResourcePattern(kind, name).pattern_type)
        acl = ACLFilter(who, "*", operation, ACLPermissionType.ALLOW, pattern)
        self._as_admin(lambda client: client.delete_acls([acl]))

    def _as_admin(self, does: Callable[[Any], Any]) -> Any:
        def attempt() -> Any:
            with admin_client(self.admin) as client:
                return does(client)

        return patiently(attempt)


def patiently(attempt: Callable[[], T], seconds: float = 120) -> T:
    """The attempt's result, or its refusal. A busy machine may let a connection wait in vain: then it is tried again."""
    until = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except BrokerRefused:
            raise
        except BrokerUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def environment(kafka: KafkaSettings, **more: str) -> dict[str, str]:
    """The environment of a process that has these settings, and nothing else of Roost's."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("ROOST_")}
    for name, value in kafka.model_dump(exclude_defaults=True).items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        given[f"ROOST_KAFKA__{name.upper()}"] = text
    return given | more


def password(name: str) -> str:
    """Of that user."""
    return f"password-of-{name}"


def _layout(certificates: Certificates, users: Sequence[str]) -> Layout:
    scram = [f"{_MECHANISM}=[name={user},password={password(user)}]" for user in (_ADMIN, *users)]
    return Layout(
        listeners=_LISTENERS,
        extras=certificates.broker
        | {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Nobody is anonymous but the brokers among themselves: the other listeners ask who it is.
            "super.users": f"User:{_ADMIN};User:ANONYMOUS",
            "sasl.enabled.mechanisms": _MECHANISM,
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.login.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        },
        format_arguments=tuple(word for one in scram for word in ("--add-scram", one)),
    )
